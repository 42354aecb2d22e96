"""Alarms: arrhythmias and lost pulses (arrhythmia), limits, technical conditions, and the engine that records them."""

from streams.alarms.engine import AlarmEngine
from streams.alarms.limits import DEFAULT_LIMITS, Limit, RiskLimit, limits_from

__all__ = ["DEFAULT_LIMITS", "AlarmEngine", "Limit", "RiskLimit", "limits_from"]
