"""From a frame to its cells: arrays and values in, values out.

Nothing in this package reads or writes files, starts threads, asks the time or touches hardware. What needs one
of these receives it as an argument. The order of the story is in `pipeline`.
"""
