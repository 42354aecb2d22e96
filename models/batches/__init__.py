"""Batches of windows under losses, and what a model says of them: what training and evaluation both read."""
