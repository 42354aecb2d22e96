"""The parts that models are made of: encoders, fusion, decoders, heads."""
