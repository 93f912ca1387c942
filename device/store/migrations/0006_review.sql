-- Reviewing: whoever looked at a count says so; how many of its objects are doubtful is known without opening its files.
ALTER TABLE counts ADD COLUMN doubtful INTEGER;
ALTER TABLE counts ADD COLUMN reviewed_by TEXT;
ALTER TABLE counts ADD COLUMN reviewed_s REAL;
-- Rises with every edit of sample name, notes or keep mark, so that two people do not overwrite each other.
ALTER TABLE counts ADD COLUMN version INTEGER NOT NULL DEFAULT 0;

-- `confirm`: a person looked at a doubtful object and agrees. `once_key`: a correction that is sent twice is made once.
CREATE TABLE corrections_new (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    count_id    TEXT NOT NULL REFERENCES counts (id) ON DELETE CASCADE,
    action      TEXT NOT NULL CHECK (action IN ('add', 'remove', 'confirm')),
    x           REAL NOT NULL,
    y           REAL NOT NULL,
    cell_id     INTEGER NOT NULL,
    who         TEXT NOT NULL,
    created_s   REAL NOT NULL,
    undone_by   TEXT,
    undone_s    REAL,
    once_key    TEXT UNIQUE
);
INSERT INTO corrections_new SELECT *, NULL FROM corrections;
DROP TABLE corrections;
ALTER TABLE corrections_new RENAME TO corrections;
CREATE INDEX corrections_by_count ON corrections (count_id, id);
CREATE UNIQUE INDEX corrections_hold_once ON corrections (count_id, cell_id) WHERE undone_s IS NULL;

-- What has changed since a page asked last, whichever process changed it.
ALTER TABLE counts ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
CREATE INDEX counts_by_change ON counts (change);
CREATE TABLE changes (latest INTEGER NOT NULL);
INSERT INTO changes VALUES (0);
CREATE TABLE deleted (id TEXT PRIMARY KEY, change INTEGER NOT NULL);
CREATE INDEX deleted_by_change ON deleted (change);
CREATE TRIGGER counts_added AFTER INSERT ON counts BEGIN
    UPDATE changes SET latest = latest + 1;
    UPDATE counts SET change = (SELECT latest FROM changes) WHERE sequence = NEW.sequence;
END;
CREATE TRIGGER counts_changed AFTER UPDATE ON counts WHEN NEW.change = OLD.change BEGIN
    UPDATE changes SET latest = latest + 1;
    UPDATE counts SET change = (SELECT latest FROM changes) WHERE sequence = NEW.sequence;
END;
CREATE TRIGGER counts_deleted AFTER DELETE ON counts BEGIN
    UPDATE changes SET latest = latest + 1;
    INSERT OR REPLACE INTO deleted SELECT OLD.id, latest FROM changes;
END;
