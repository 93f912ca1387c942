"""From pictures to a result: studies, blinded review, report.

image_lines(store, name)         one line an image: place, count, interval, what a reader must know
subject_values(lines, study)     one value a subject, never one a slice
compare(values, ...)             the test that the design allows, effects with intervals
write_report(store, name, out)   figure, tables and one HTML file
"""
