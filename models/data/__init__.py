"""Windows to train on: the simulated patient, real recordings, and how sensors are lost."""
