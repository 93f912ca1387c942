"""What a whole training is measured by: cross-validation, comparisons of networks, published scores."""
