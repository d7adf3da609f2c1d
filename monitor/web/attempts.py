"""How often somebody may guess a password."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable

PER_ADDRESS, PER_NAME = 10, 30
"""Wrong passwords within the window: from one address, and for one name from anywhere."""

WINDOW = 300.0
"""Seconds."""

_KEPT = 10_000
"""Addresses and names whose failures are remembered, the latest ones."""


class Attempts:
    """Counts failures of the last minutes. For one thread. `now` is monotonic, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str, name: str) -> float:
        """Seconds until another password may be tried; 0 if at once."""
        return max(
            self._wait(f"address {origin(address)}", PER_ADDRESS),
            self._wait(f"name {name}", PER_NAME),
        )

    def begin(self, address: str, name: str) -> None:
        """A password is about to be tried: it counts as wrong until it is known to be right."""
        for key in (f"address {origin(address)}", f"name {name}"):
            self._failures.setdefault(key, deque(maxlen=PER_NAME)).append(self._now())
            self._failures.move_to_end(key)
        while len(self._failures) > _KEPT:
            self._failures.popitem(last=False)

    def forgive(self, address: str, name: str) -> None:
        """It was right: what went wrong before was a slip of the same person."""
        self._failures.pop(f"address {origin(address)}", None)
        self._failures.pop(f"name {name}", None)

    def _wait(self, key: str, most: int) -> float:
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        while failures and failures[0] <= self._now() - WINDOW:
            failures.popleft()
        if not failures:
            del self._failures[key]
        if len(failures) < most:
            return 0.0
        return failures[-most] + WINDOW - self._now()


def origin(address: str) -> str:
    """Whom an address belongs to: of IPv6, a subscriber has 2^64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped or ipaddress.ip_network(f"{parsed}/64", strict=False))
    return address
