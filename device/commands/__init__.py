"""One module per sub-command of `fluocount`; each holds a click command called `command`."""
