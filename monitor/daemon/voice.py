"""The alerts room as the web room shows it."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.alerts.channels.mqtt import ZoneReading
from monitor.alerts.room import AlertRoom
from monitor.presence import PresenceRoom
from monitor.web.status import AlertStatus, ChannelStatus


def zone_readings(presence: PresenceRoom) -> list[ZoneReading]:
    """What is known of every zone, for brokers."""
    return [
        ZoneReading(zone.camera, zone.zone, zone.state, zone.score) for zone in presence.statuses()
    ]


def alert_status(room: AlertRoom) -> AlertStatus:
    """Channels with what they owe and how fast they are."""
    stats = room.stats()
    return AlertStatus(
        channels=tuple(
            ChannelStatus(
                name=channel.name,
                kind=channel.kind,
                trouble=channel.trouble,
                queued=queue.pending,
                dead_letters=queue.dead,
                oldest=queue.oldest,
                sent=channel.sent,
                retried=channel.retried,
                dead=channel.dead,
                latency_p50=_quantile(channel.latencies, 0.5),
                latency_p99=_quantile(channel.latencies, 0.99),
            )
            for channel, queue in stats.channels
        ),
        failures=stats.failures,
    )


def _quantile(values: Sequence[float], share: float) -> float | None:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
