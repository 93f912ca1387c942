-- A study asks one question of many images. `content` is the Study as JSON.
CREATE TABLE studies (
    name      TEXT PRIMARY KEY,
    content   TEXT NOT NULL,
    created_s REAL NOT NULL
);
-- Which images belong to a study, and where. `count_id` is the first count of the image, so that counting it again
-- changes nothing here. No cascade: a count that a study needs is not deleted in silence.
CREATE TABLE study_images (
    study      TEXT NOT NULL REFERENCES studies (name),
    count_id   TEXT NOT NULL REFERENCES counts (id),
    group_name TEXT NOT NULL,
    subject    TEXT NOT NULL,
    slice      TEXT NOT NULL,
    region     TEXT NOT NULL,
    PRIMARY KEY (study, count_id)
);
CREATE INDEX study_images_by_count ON study_images (count_id);
-- The study that captures belong to, and where the next one goes; one row or none.
CREATE TABLE capturing (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    study   TEXT NOT NULL REFERENCES studies (name),
    content TEXT NOT NULL
);
