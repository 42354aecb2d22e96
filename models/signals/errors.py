"""The errors a user may see. Each is one sentence: what was expected, what was found, what to do."""

from __future__ import annotations


class VigilError(Exception):
    """Base of every error that Vigil raises on purpose; its text is meant for a person."""


class BadInput(VigilError):
    """A file, rate, unit, message, bundle or setting that cannot be used (exit code 2 at the command line).

    >>> raise BadInput("a sampling rate above 0 Hz", "0 Hz on track 'SNUADC/PLETH'", "leave the track out")
    Traceback (most recent call last):
    ...
    models.signals.errors.BadInput: Expected a sampling rate above 0 Hz, found 0 Hz on track 'SNUADC/PLETH'; \
leave the track out.
    """

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        self.expected, self.found, self.remedy = expected, found, remedy
        ending = "" if remedy.endswith((".", "?")) else "."
        super().__init__(f"Expected {expected}, found {found}; {remedy}{ending}")


class BackendUnavailable(VigilError):
    """An inference backend that was asked for by name and cannot be had; the text names the missing piece."""


class BackendFailed(VigilError):
    """An inference backend broke while it served: the library failed, hung or gave values that are not finite."""
