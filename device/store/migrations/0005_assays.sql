-- Every version of every assay, as JSON; `seed` is what the settings file said when the version was made of it.
CREATE TABLE assays (
    name      TEXT NOT NULL,
    version   INTEGER NOT NULL,
    content   TEXT NOT NULL,
    who       TEXT NOT NULL,
    created_s REAL NOT NULL,
    seed      TEXT,
    PRIMARY KEY (name, version)
);
-- The first count of this image, where this one was made by counting it again.
ALTER TABLE counts ADD COLUMN version_of TEXT;
CREATE INDEX counts_by_version ON counts (version_of);
