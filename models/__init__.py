"""What a model needs and what it is: signals, networks, training, export, runtime."""
