"""From windows to a bundle: stages, losses, checkpoints and run folders of ``vigil train``."""
