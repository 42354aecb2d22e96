"""What the screen says of an alarm in another language than English. Pure.

An alarm's text and reason are made by the stream, in English, and stay so on the wire, in logs, journals and tables,
where somebody looks for them; the screen tells them anew where it paints them. What is in no template is said as it
came: never empty, never left out.
"""

from __future__ import annotations

import re

from streams.limit_settings import LIMITED
from ui.style.language import retold, tr

TEXTS = (
    "ASYSTOLE",
    "V-FIB / FLUTTER",
    "V-TACH",
    "EXTREME BRADY",
    "EXTREME TACHY",
    "NO PULSE",
    "ABP DISCONNECT",
    "ECG NO BEATS FOUND",
    "MODEL FAILED OVER",
    "MODEL NOT AVAILABLE",
    "MODEL BEHIND",
    "HYPOTENSION RISK {risk} > {limit} ({minutes} min)",
    "{vital} LOW {value} < {limit}",
    "{vital} HIGH {value} > {limit}",
    "APNOEA > {limit} s",
    "{sensor} NO PULSE",
    "{sensor} NO SIGNAL",
    "{sensor} WITHHELD",
    "{sensor} SENSOR OFF",
    "{sensor} LEADS OFF",
    "{sensor} HIGH IMPEDANCE",
    "{sensor} OVERLOAD",
    "{sensor} OUT OF RANGE",
    "{sensor} FLAT LINE",
    "{sensor} LINE FLUSHED",
    "{sensor} ARTEFACT",
    "{lead} IS BACK",
    "{lead} SERVES",
    "{what}?",
)
REASONS = (
    "the PPG pulses: line open or disconnected",
    "it pulses about zero: line open, or its zero is off",
    "the PPG pulses: line damped, clamped or kinked",
    "the ABP pulses: check the probe",
    "patient or probe? No ABP to tell",
    "although the PPG pulses",
    "no PPG to tell otherwise",
    "the {sensor} shows none",
    "the {one} and the {other} showed none last",
    "the {sensor} showed none last",
    "{one} and {other} show none",
    "the ECG beats",
    "the ECG is still",
    "the ECG fibrillates",
    "the ECG shows no beats",
    "the ECG was still",
    "the ECG fibrillated",
    "no ECG",
    "no beats in the ECG",
    "ECG alone",
    "no clear pulse to compare",
    "although {one} pulses at {rate}/min and {other} at {second}/min",
    "although {sensor} pulses at {rate}/min",
    "{one} pulses at {rate}/min and {other} at {second}/min",
    "{sensor} pulses at {rate}/min",
    "{one} and {other} show no pulse",
    "{sensor} shows no pulse",
)
"""What :mod:`streams.alarms` can say, text and reasons; a test holds them together."""
NOW = ("mean {value}",)
WHAT = ("began", "ended", "acknowledged", "got worse", "limits set", "end of {state}")
LIMIT_WORDS = ("none", "high", "medium", "low", "latching", "off")


def text_said(text: str) -> str:
    """An alarm's text; where one lead serves for another, lead by lead.

    >>> text_said("ABP LOW 58 < 65"), text_said("what nobody has foreseen")
    ('ABP LOW 58 < 65', 'what nobody has foreseen')
    """
    return ", ".join(retold(part, TEXTS) for part in text.split(", "))


def reason_said(reason: str) -> str:
    """What the other sensors say of it, clause by clause; one reason has a comma of its own."""
    return tr(reason) if reason in REASONS else ", ".join(retold(part, REASONS) for part in reason.split(", "))


def now_said(now: str) -> str:
    """The value of the moment."""
    return retold(now, NOW)


def what_said(what: str) -> str:
    """What happened, of a line of the journal."""
    return retold(what, WHAT) if what in WHAT or what.startswith("end of ") else tr(what)


def line_said(words: str) -> str:
    """The words of a line of the journal: an alarm, with its reason in brackets and perhaps its end; or new limits."""
    alarm, ended, clock = words.partition(" — ended ")
    if ended:
        return tr("{alarm} — ended {time}", alarm=line_said(alarm), time=clock)
    for row in LIMITED.values():
        if " → " in words and words.startswith(f"{row.label} "):
            return ", ".join(_limit_said(part) for part in words.split(", "))
    text = text_said(words)
    found = re.fullmatch(r"(.+?) \(([^()]*)\)", words)
    if text != words or found is None:
        return text
    return f"{text_said(found[1])} ({reason_said(found[2])})"


def _limit_said(part: str) -> str:
    for row in LIMITED.values():
        if part.startswith(f"{row.label} "):
            rest = part[len(row.label) :]
            return tr(row.label) + re.sub("|".join(LIMIT_WORDS), lambda found: tr(found[0]), rest)
    return part
