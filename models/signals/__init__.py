"""Causal signal code shared by training and stream: readers, resampling, quality, beats, windows."""
