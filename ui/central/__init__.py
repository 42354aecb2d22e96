"""The central view: all beds as tiles, the most urgent first."""
