"""Training of the networks that fluocount ships: the paper of Morelli et al., section by section."""
