-- Every time is in seconds since 1970 (UTC) by the clock of that moment; `sequence` gives the order
-- whatever the clock said.
CREATE TABLE counts (
    sequence           INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 TEXT NOT NULL UNIQUE,
    status             TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    origin             TEXT NOT NULL CHECK (origin IN ('upload', 'capture', 'watch', 'batch')),
    once_key           TEXT UNIQUE,
    image              TEXT NOT NULL,
    image_sha256       TEXT NOT NULL,
    image_bytes        INTEGER NOT NULL,
    suffix             TEXT NOT NULL,
    model              TEXT NOT NULL,
    settings           TEXT NOT NULL,
    capture            TEXT,
    sample             TEXT NOT NULL DEFAULT '',
    notes              TEXT NOT NULL DEFAULT '',
    keep               INTEGER NOT NULL DEFAULT 0,
    created_s          REAL NOT NULL,
    boot_id            TEXT NOT NULL,
    boot_s             REAL NOT NULL,
    clock_correction_s REAL,
    started_s          REAL,
    finished_s         REAL,
    attempts           INTEGER NOT NULL DEFAULT 0,
    attempt_boot_id    TEXT,
    progress           REAL NOT NULL DEFAULT 0,
    remaining_s        REAL,
    cancel_asked       INTEGER NOT NULL DEFAULT 0,
    error              TEXT,
    revision           INTEGER NOT NULL DEFAULT 0,
    count              INTEGER,
    corrected_count    INTEGER,
    interval_low       INTEGER,
    interval_high      INTEGER,
    flags              TEXT NOT NULL DEFAULT '[]',
    width              INTEGER,
    height             INTEGER,
    threshold          REAL,
    model_sha256       TEXT,
    conditions         TEXT,
    relabels           TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX counts_by_status ON counts (status, sequence);
CREATE INDEX counts_by_image ON counts (image_sha256);
CREATE INDEX counts_by_sample ON counts (sample, sequence);
CREATE INDEX counts_by_created ON counts (created_s);

CREATE TABLE corrections (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    count_id    TEXT NOT NULL REFERENCES counts (id) ON DELETE CASCADE,
    action      TEXT NOT NULL CHECK (action IN ('add', 'remove')),
    x           REAL NOT NULL,
    y           REAL NOT NULL,
    cell_id     INTEGER NOT NULL,
    who         TEXT NOT NULL,
    created_s   REAL NOT NULL,
    undone_by   TEXT,
    undone_s    REAL
);
CREATE INDEX corrections_by_count ON corrections (count_id, id);
-- Two people cannot remove the same cell, nor add two cells under one id.
CREATE UNIQUE INDEX corrections_hold_once ON corrections (count_id, cell_id) WHERE undone_s IS NULL;

CREATE TABLE users (
    name          TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    created_s     REAL NOT NULL
);

CREATE TABLE tokens (
    name        TEXT PRIMARY KEY,
    sha256      TEXT NOT NULL UNIQUE,
    created_s   REAL NOT NULL,
    last_used_s REAL
);

CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
