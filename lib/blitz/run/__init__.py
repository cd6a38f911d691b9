"""A run: the steps in order, the checks before them, the manifest after them."""
