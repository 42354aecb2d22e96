"""The sweep: where things lie on it, their scales, and what is drawn."""
