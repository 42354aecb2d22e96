"""Bundles and the backends that run them: what the monitor needs of a model, without torch."""
