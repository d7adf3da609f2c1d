"""Where a channel may connect to, and the certificates it believes.

An address of the configuration may lead anywhere: through DNS, into the machine itself or to a
cloud's metadata service. So a name is resolved once, the address is checked, and the connection
goes to that very address.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path

from monitor.alerts.notices import UnavailableError

Address = IPv4Address | IPv6Address


def allowed_addresses(host: str, port: int, allow: Sequence[str]) -> list[str]:
    """The addresses of `host` that may be reached. Raises UnavailableError if there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnavailableError(f"the name {host} cannot be resolved: {error}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if host in allow:
        return addresses
    good = [address for address in addresses if _may_reach(ip_address(address), allow)]
    if not good:
        raise UnavailableError(
            f"{host} is {', '.join(addresses)}, which is private; "
            "name it in the channel's `allow` if that is meant"
        )
    return good


def _may_reach(address: Address, allow: Sequence[str]) -> bool:
    plain = getattr(address, "ipv4_mapped", None) or address
    if plain.is_global and not plain.is_multicast:
        return True
    return any(plain in network for network in map(_network, allow) if network is not None)


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry)
    except ValueError:
        return None


def probe_tcp(addresses: Sequence[str], port: int, timeout: float) -> None:
    """Connect and hang up. Raises UnavailableError if none of the addresses answers."""
    failure: OSError | None = None
    for address in addresses:
        try:
            socket.create_connection((address, port), timeout).close()
        except OSError as error:
            failure = error
        else:
            return
    raise UnavailableError(f"nobody answers there: {failure}") from failure


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verifies names and certificates, by the system's authorities and `ca_file`'s."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UnavailableError(
                f"the authority file {ca_file} cannot be read: {error}"
            ) from error
    return context
