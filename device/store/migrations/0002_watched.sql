-- What the folder watch has taken, per output folder: a file version is a path with its size and time.
CREATE TABLE watched (
    out_dir   TEXT NOT NULL,
    path      TEXT NOT NULL,
    size      INTEGER NOT NULL,
    mtime_ns  INTEGER NOT NULL,
    sha256    TEXT NOT NULL,
    once_key  TEXT NOT NULL,
    count_id  TEXT,
    state     TEXT NOT NULL CHECK (state IN ('taken', 'counted', 'failed', 'duplicate')),
    PRIMARY KEY (out_dir, path, size, mtime_ns)
);
CREATE INDEX watched_by_image ON watched (out_dir, sha256);
CREATE INDEX watched_by_state ON watched (out_dir, state);
