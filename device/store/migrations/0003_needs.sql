-- Memory and time that an image was expected to need when it was accepted, as JSON.
ALTER TABLE counts ADD COLUMN needs TEXT;
