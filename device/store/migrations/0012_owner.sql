-- Who handed an image in: the account that was logged in or the name of the token; empty for camera, folders and before.
ALTER TABLE counts ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX counts_of_owner ON counts (owner, status, image_bytes);
