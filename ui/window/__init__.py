"""The window: its frames, its keys, its way to the session."""
