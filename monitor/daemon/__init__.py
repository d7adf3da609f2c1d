"""The daemon: wires the rooms, starts and stops them in order, and answers for their health."""

from __future__ import annotations

from monitor.daemon.service import Daemon

__all__ = ["Daemon"]
