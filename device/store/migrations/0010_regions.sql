-- Named regions that a person drew on the image, as JSON: they are of the image, not of one labelling of its cells.
ALTER TABLE counts ADD COLUMN regions TEXT NOT NULL DEFAULT '[]';
