"""Where ticks come from: recordings that are replayed, and devices that send now."""
