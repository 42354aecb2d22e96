"""Where this process can be reached."""

from __future__ import annotations

import psutil


def listening() -> set[tuple[str, int]]:
    """Address and port of every socket that takes connections, or datagrams."""
    found = psutil.Process().net_connections("inet")
    return {tuple(c.laddr) for c in found if c.status == psutil.CONN_LISTEN or c.type.name == "SOCK_DGRAM"}
