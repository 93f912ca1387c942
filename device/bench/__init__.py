"""`fluocount bench`: whole frames from file to results, in separate processes that take turns frame by frame."""
