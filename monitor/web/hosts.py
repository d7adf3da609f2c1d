"""By what name was the monitor asked for? Against DNS rebinding, where everybody may look.

A page of another site can have its own name lead to the monitor's address; the browser then takes
the monitor for that site and lets the page read its answers. But it says the name in `Host`. An
address there is harmless: no page can make it its own.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import ip_address

from monitor.config.web import WebConfig

ANY = "*"
"""In `web.allowed_hosts`: every name."""


def is_own(host: str, config: WebConfig) -> bool:
    """Whether a Host header names this monitor: by an address, as localhost, by the machine's name,
    by `web.host`, or by one of `web.allowed_hosts`. No header is no name: browsers send one.
    """
    name = _name(host)
    if not name or ANY in config.allowed_hosts or _is_address(name):
        return True
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return name in {config.host.lower(), *config.allowed_hosts, *_machine()}


def _name(host: str) -> str:
    """The header without its port and the dot that may end a name."""
    text = host.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1)
def _machine() -> frozenset[str]:
    """The machine's names; `.local` is how others find it by multicast DNS."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return frozenset({name, short, f"{short}.local"})
