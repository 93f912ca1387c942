"""One module for each maker's files: `open_scenes(data, name)` gives the scenes that a file holds, not yet decoded."""
