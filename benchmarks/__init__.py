"""Measurements that anyone can repeat: every figure of the README comes from a command here."""
