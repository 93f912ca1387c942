-- The objectives of the microscope, with what they make of a pixel; "20X" is "20x".
CREATE TABLE objectives (
    name          TEXT PRIMARY KEY COLLATE NOCASE,
    pixel_size_um REAL NOT NULL,
    who           TEXT NOT NULL,
    created_s     REAL NOT NULL
);
