"""The codes of a data set, to be selected by lasso."""
