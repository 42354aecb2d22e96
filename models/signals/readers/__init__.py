"""Readers of recordings, each behind :class:`models.signals.recording.Recording`; see :mod:`.opener`."""

from models.signals.readers.opener import open_recording

__all__ = ["open_recording"]
