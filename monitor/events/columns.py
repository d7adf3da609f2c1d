"""The column types of `monitor.storage`, as the events room has always named them."""

from __future__ import annotations

from monitor.storage.columns import NAME_LENGTH, UTCDateTime, UTCMinute, name_type

__all__ = ["NAME_LENGTH", "UTCDateTime", "UTCMinute", "name_type"]
