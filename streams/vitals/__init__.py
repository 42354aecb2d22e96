"""Numerics from measured signals: heart, pulse and respiratory rate, arterial pressures, processed EEG."""
