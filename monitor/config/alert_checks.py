"""Whether the names in rules, groups, doors and schedules name something, and what is unused."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches

from monitor.config.alerts import RuleConfig, Trigger
from monitor.config.problems import KeyPath, Severity
from monitor.config.root import MonitorConfig
from monitor.config.schedules import overlap
from monitor.messages import WHOLE_FRAME

Finding = tuple[KeyPath, str, str, Severity]


def zone_names(config: MonitorConfig) -> list[str]:
    """All zones as camera/zone."""
    return [
        f"{name}/{zone}"
        for name, camera in config.cameras.items()
        for zone in (camera.zones or [WHOLE_FRAME])
    ]


def check_alerts(config: MonitorConfig) -> Iterator[Finding]:
    """Names that name nothing (errors), and rules or channels that tell nobody (warnings)."""
    alerts, zones = config.alerts, zone_names(config)
    for group, members in alerts.groups.items():
        for index, member in enumerate(members):
            path: KeyPath = ("alerts", "groups", group, index)
            yield from _known(path, "camera or zone", member, [*config.cameras, *zones])
    for name, schedule in alerts.schedules.items():
        if what := overlap(schedule.windows):
            path = ("alerts", "schedules", name, "windows")
            yield path, what, "windows that are apart", Severity.WARNING
    for door, settings in alerts.doors.items():
        yield from _known(("alerts", "doors", door, "zone"), "zone", settings.zone, zones)
    for index, span in enumerate(alerts.maintenance):
        path = ("alerts", "maintenance", index, "cameras")
        for camera in span.cameras:
            yield from _known(path, "camera", camera, config.cameras)
    for name, rule in alerts.rules.items():
        yield from _check_rule(config, ("alerts", "rules", name), rule, zones)
    used = {channel for rule in alerts.rules.values() for channel in _channels(rule)}
    for name, channel in alerts.channels.items():
        if name not in used and not (channel.mqtt and channel.mqtt.states):
            what, allowed = "no rule uses this channel", "name it in a rule's channels"
            yield ("alerts", "channels", name), what, allowed, Severity.WARNING


def _channels(rule: RuleConfig) -> list[str]:
    return [*rule.channels, *(rule.escalate.channels if rule.escalate else [])]


def _check_rule(
    config: MonitorConfig, path: KeyPath, rule: RuleConfig, zones: list[str]
) -> Iterator[Finding]:
    alerts = config.alerts
    for key, noun, names, known in (
        ("cameras", "camera", rule.cameras, config.cameras),
        ("zones", "zone", rule.zones, zones),
        ("groups", "group", rule.groups, alerts.groups),
        ("doors", "door", rule.doors, alerts.doors),
        ("armed", "schedule", rule.armed, alerts.schedules),
        ("channels", "channel", rule.channels, alerts.channels),
    ):
        for index, name in enumerate(names):
            yield from _known((*path, key, index), noun, name, known)
    if rule.escalate:
        for index, name in enumerate(rule.escalate.channels):
            where = (*path, "escalate", "channels", index)
            yield from _known(where, "channel", name, alerts.channels)
    if not rule.channels:
        what, allowed = "tells nobody, it only records", "channels: with at least one"
        yield path, what, allowed, Severity.WARNING
    needs_span = {Trigger.VACANT, Trigger.DOOR_HELD}
    if rule.on in needs_span and not rule.after:
        what = f"a rule on {rule.on} without `after` would fire at once"
        yield path, what, "after: with how long it must last", Severity.ERROR
    needs_door = {Trigger.DOOR_FORCED, Trigger.DOOR_HELD, Trigger.STILL_OCCUPIED_AFTER_EXIT}
    if rule.on in needs_door and not alerts.doors:
        what = f"a rule on {rule.on} never fires without a door"
        yield path, what, "alerts.doors: with at least one", Severity.ERROR


def _known(path: KeyPath, noun: str, name: str, known: Collection[str]) -> Iterator[Finding]:
    if name in known:
        return
    close = get_close_matches(name, list(known), n=1)
    hint = f", did you mean {close[0]}?" if close else ""
    listed = ", ".join(list(known)[:12]) or f"there is no {noun} yet"
    yield path, f"there is no {noun} {name[:80]!r}{hint}", listed, Severity.ERROR
