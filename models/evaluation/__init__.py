"""What a trained model is worth, beside what is cheaper: tables and plots of ``vigil evaluate``."""
