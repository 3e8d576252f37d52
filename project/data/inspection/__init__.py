"""A first look at a file: what its columns are, what may go wrong, and a task card for it."""
