"""The unit of all times: integer nanoseconds."""

from __future__ import annotations

SECOND_NS = 1_000_000_000
"""A second."""
