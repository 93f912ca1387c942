"""Results for other programs: tables, ImageJ ROIs, label images, GeoJSON. Values in, bytes out."""
