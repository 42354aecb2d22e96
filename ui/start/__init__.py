"""The front door: what can be opened, and how it is while it is being opened. The display is behind it."""
