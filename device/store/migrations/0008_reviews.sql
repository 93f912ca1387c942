-- A blinded review. `content` is the Review as JSON; `head` and `lines` say where its log ends, so that a cut end shows.
CREATE TABLE reviews (
    id        TEXT PRIMARY KEY,
    study     TEXT NOT NULL REFERENCES studies (name),
    content   TEXT NOT NULL,
    finished  INTEGER NOT NULL DEFAULT 0,
    head      TEXT NOT NULL,
    lines     INTEGER NOT NULL DEFAULT 0,
    created_s REAL NOT NULL
);
-- The images of a review; observers know them by a random key alone.
CREATE TABLE review_items (
    key      TEXT PRIMARY KEY,
    review   TEXT NOT NULL REFERENCES reviews (id),
    count_id TEXT NOT NULL REFERENCES counts (id),
    stratum  TEXT NOT NULL
);
CREATE INDEX review_items_by_review ON review_items (review);
CREATE INDEX review_items_by_count ON review_items (count_id);
-- What an observer marked: points in pixels as JSON, and whether the image is done.
CREATE TABLE review_marks (
    key      TEXT NOT NULL REFERENCES review_items (key),
    observer TEXT NOT NULL,
    points   TEXT NOT NULL,
    done     INTEGER NOT NULL,
    PRIMARY KEY (key, observer)
);
-- Who did what when: nothing is changed or deleted, and every line holds the hash of the one before.
CREATE TABLE review_log (
    review  TEXT NOT NULL REFERENCES reviews (id),
    number  INTEGER NOT NULL,
    content TEXT NOT NULL,
    hash    TEXT NOT NULL,
    PRIMARY KEY (review, number)
);
CREATE TRIGGER review_log_stays BEFORE UPDATE ON review_log BEGIN
    SELECT RAISE(ABORT, 'the log of a review is never changed');
END;
CREATE TRIGGER review_log_keeps BEFORE DELETE ON review_log BEGIN
    SELECT RAISE(ABORT, 'the log of a review is never deleted');
END;
