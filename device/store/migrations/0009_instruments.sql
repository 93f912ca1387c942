-- Several instruments, one page. A sender keeps how far each central got; the numbers are those of counts.change.
CREATE TABLE identity (instrument TEXT NOT NULL);
INSERT INTO identity VALUES (lower(hex(randomblob(8))));
CREATE TABLE forwarding (
    central TEXT PRIMARY KEY,
    upto    INTEGER NOT NULL DEFAULT 0,
    stamp   INTEGER NOT NULL DEFAULT 0,
    known   INTEGER NOT NULL DEFAULT 0,
    sent_s  REAL
);
-- What a central refused, so that it holds up nothing else and is tried again.
CREATE TABLE unsent (
    central  TEXT NOT NULL,
    count_id TEXT NOT NULL,
    problem  TEXT NOT NULL,
    PRIMARY KEY (central, count_id)
);

-- A central: who speaks to it, and what came from whom. A line of `received` outlives its count, so that what was
-- deleted here does not come again.
CREATE TABLE instruments (
    id       TEXT NOT NULL,
    name     TEXT NOT NULL,
    version  TEXT NOT NULL,
    waiting  INTEGER NOT NULL,
    problems TEXT NOT NULL,
    first_s  REAL NOT NULL,
    heard_s  REAL NOT NULL,
    PRIMARY KEY (id, name)
);
CREATE TABLE received (
    instrument TEXT NOT NULL,
    remote_id  TEXT NOT NULL,
    count_id   TEXT NOT NULL,
    stamp      INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    version_of TEXT,
    PRIMARY KEY (instrument, remote_id)
);
CREATE INDEX received_by_version ON received (instrument, version_of);
CREATE INDEX received_by_stamp ON received (instrument, stamp);
-- Name of the instrument that made the count; NULL for this one's own.
ALTER TABLE counts ADD COLUMN instrument TEXT;
