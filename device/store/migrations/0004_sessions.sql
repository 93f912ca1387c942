-- Who is logged in: a cookie counts only as long as its session is here, so that logging out ends it everywhere.
CREATE TABLE sessions (
    sha256    TEXT PRIMARY KEY,
    created_s REAL NOT NULL,
    used_s    REAL NOT NULL
);
CREATE INDEX sessions_by_use ON sessions (used_s);
