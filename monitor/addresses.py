"""Machines and people out of a text: addresses, hosts, user names. Pure.

What a host or a user is called cannot be told from a word by itself; so whatever stands where such names stand is left
out, and all that looks like an address. More is lost than must be: what is left leaves the house.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from ipaddress import ip_address

from monitor.redaction import MARK

ADDRESS, HOST = "[address]", "[host]"

_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*:)//[^\s\"'<>]+")
_AT = re.compile(r"[^\s\"'<>()\[\]=,;@]+@[^\s\"'<>()\[\],;]+")
_UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
_MAC = re.compile(r"(?<![\w:])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w:])", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{0,4}:){2,}[0-9a-f.]*(?:%[\w.-]+)?(?![\w])", re.IGNORECASE)
_WORD = r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s,;<>()]+)"
_KEYED = re.compile(
    r"((?:\b|_)(?:host|hostname|machine|server|peer|endpoint|address|adapter|user|username|login|account|principal"
    r"|epr|source_id|client_id)[\"']?(?:\s*[=:]\s*|\s+(?=[\"'])))" + _WORD,
    re.IGNORECASE,
)
_SAID = re.compile(r"(\b(?:user|(?:to|from|on|at|of|for) (?:host|machine|server)|valid for) )" + _WORD, re.I)
_PORT = re.compile(r"(?<![\w.-])(?=[\w.-]*[^\W\d])[\w.-]+:(?=\d{2,5}(?!\w|:\d))")
_PAIR = re.compile(r"(?<=[(\[])(?:\"[^\"\n]*\"|'[^'\n]*')(?=,\s*\d{1,5}\b)")
_DOMAIN = re.compile(r"[\w.-]+\\[\w.$-]+")
_DOTTED = re.compile(r"(?<![\w./\\-])[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}\b(?!\()")
_RAISED = re.compile(r"^(?:\w+\.)+\w*(?:Error|Exception|Warning|Exit|Interrupt)(?=:|$)")
_FRAME = re.compile(r"^\s*File .+, line \d+")
_LOGGED = re.compile(r"^\d{4}-\d\d-\d\d [\d:,]+ [A-Z]+ [\w.]+: ")


def without_addresses(text: str, own: Callable[[str], bool] = lambda name: False) -> str:
    """``text`` without addresses, hosts and users. own: of a name with dots, whether it is one of this program's own,
    beside those of modules. The source in a traceback stays: no value is in it.

    >>> without_addresses("SASL for user smith at kafka1.ward.example:9092 (10.1.2.3) failed")
    'SASL for user [hidden] at [host]:9092 ([address]) failed'
    """
    kept, source = [], False
    for line in text.split("\n"):
        source = source and line.startswith("    ") and _FRAME.match(line) is None
        kept.append(line if source else _line(line, own))
        source = source or _FRAME.match(line) is not None
    return "\n".join(kept)


def without_urls(text: str) -> str:
    """
    >>> without_urls("no answer from kafka://smith@kafka1:9092, given up")
    'no answer from kafka:[host] given up'
    """
    return _URL.sub(rf"\1{HOST}", text)


def _line(line: str, own: Callable[[str], bool]) -> str:
    begins = _LOGGED.match(line) or _RAISED.match(line)
    head = begins[0] if begins else ""
    line = _AT.sub(MARK, without_urls(line[len(head) :]))
    line = _UUID.sub(ADDRESS, line)
    line = _MAC.sub(ADDRESS, line)
    line = _IPV6.sub(lambda match: ADDRESS if _is_ipv6(match[0]) else match[0], line)
    line = _IPV4.sub(ADDRESS, line)
    line = _KEYED.sub(rf"\1{MARK}", line)
    line = _SAID.sub(rf"\1{MARK}", line)
    line = _PORT.sub(f"{HOST}:", line)
    line = _PAIR.sub(HOST, line)
    line = _DOMAIN.sub(MARK, line)
    return head + _DOTTED.sub(lambda match: match[0] if _of_a_module(match[0]) or own(match[0]) else HOST, line)


def _is_ipv6(word: str) -> bool:
    try:
        ip_address(word.partition("%")[0])
    except ValueError:
        return False
    return True


def _of_a_module(name: str) -> bool:
    """Whether it is a module that is loaded, or something in one."""
    home, _, last = name.rpartition(".")
    return name in sys.modules or (home in sys.modules and last in vars(sys.modules[home]))
