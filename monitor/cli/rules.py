"""`rules`, `arm`, `disarm`, `as-scheduled`: what would alert when, and switching that by hand."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from monitor.alerts import desk
from monitor.alerts.arming import Switch, switch
from monitor.alerts.what_if import what_if
from monitor.cli.alerts import WhoOption, who_am_i
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import open_memory
from monitor.clock import SystemClock
from monitor.config import load_config
from monitor.config.alert_checks import zone_names
from monitor.config.base import format_duration, parse_duration
from monitor.config.schedules import parse_zone
from monitor.errors import UsageError
from monitor.events.database import parse_url, sqlite_path
from monitor.events.moments import parse_moment

app = typer.Typer(help="Look at alert rules and try them on a moment.", no_args_is_help=True)
switches = typer.Typer()

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
ScheduleArgument = Annotated[
    str | None, typer.Argument(metavar="SCHEDULE", help="The schedule; without it, everything.")
]
ForOption = Annotated[
    str | None,
    typer.Option("--for", metavar="TIME", help="For how long, such as 2h; else for good."),
]


@app.command("list")
def list_rules(config: ConfigFile, output: FormatOption = Format.TABLE) -> None:
    """List the rules of a configuration.

    Example: `run_monitor.py rules list --config monitor.yaml`
    """
    alerts = load_config(config, look=False).alerts
    rows = (
        {
            "rule": name,
            "on": rule.on.value,
            "after": format_duration(rule.after) if rule.after else "",
            "scope": [*rule.cameras, *rule.zones, *rule.groups, *rule.doors] or ["everywhere"],
            "armed": rule.armed or ["always"],
            "severity": rule.severity.value,
            "channels": rule.channels,
        }
        for name, rule in alerts.rules.items()
    )
    print_rows(rows, ("rule", "on", "after", "scope", "armed", "severity", "channels"), output)


@app.command("test")
def explain(
    config: ConfigFile,
    at: Annotated[
        str, typer.Option("--at", metavar="WHEN", help="now, monday 22:30, 2026-12-24T23:00 ….")
    ] = "now",
    zone: Annotated[
        str | None, typer.Option(metavar="CAMERA/ZONE", help="Only rules about this zone.")
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Explain what each rule would do, and why, if what it waits for came true at a moment.

    Times are those of `alerts.timezone`. Overrides, grants and cooldowns of the monitor's
    database count, if it exists; nothing is written and nobody is told.

    Example: `run_monitor.py rules test --config monitor.yaml --at "saturday 23:15"`
    """
    settings = load_config(config, look=False)
    if zone is not None and zone not in zone_names(settings):
        known = ", ".join(zone_names(settings))
        raise UsageError(f"there is no zone {zone!r}", remedy=f"choose of {known}")
    local = parse_zone(settings.alerts.timezone)
    moment = parse_moment(at, now=SystemClock().now().utc, zone=local)
    file = sqlite_path(parse_url(settings.database.url.get_secret_value()))
    if file is not None and not file.exists():
        guesses = list(what_if(settings, moment, place=zone))
    else:
        with open_memory(None, config) as engine, desk.transaction(engine) as session:
            guesses = list(what_if(settings, moment, session=session, place=zone))
    if output is Format.TABLE:
        sys.stdout.write(f"at {moment.astimezone(local):%A %F %H:%M %Z}:\n")
    rows = (
        {
            "rule": guess.rule,
            "where": guess.place,
            "would": guess.outcome.value,
            "why": "; ".join(guess.reasons),
            "says": guess.title,
            "channels": guess.channels,
        }
        for guess in guesses
    )
    print_rows(rows, ("rule", "where", "would", "why", "channels"), output)


@switches.command()
def arm(
    config: ConfigFile,
    schedule: ScheduleArgument = None,
    time: ForOption = None,
    who: WhoOption = None,
) -> None:
    """Arm the rules of a schedule by hand, outside its windows, for a time or until it is
    switched again.

    Example: `run_monitor.py arm nights --for 2h --config monitor.yaml`
    """
    _switch(config, Switch.ARM, schedule, time, who)


@switches.command()
def disarm(
    config: ConfigFile,
    schedule: ScheduleArgument = None,
    time: ForOption = None,
    who: WhoOption = None,
) -> None:
    """Disarm the rules of a schedule by hand, inside its windows, for a time or until it is
    switched again.

    Without a schedule all rules are disarmed, those that are always armed, too.

    Example: `run_monitor.py disarm --for 30m --config monitor.yaml`
    """
    _switch(config, Switch.DISARM, schedule, time, who)


@switches.command("as-scheduled")
def as_scheduled(
    config: ConfigFile, schedule: ScheduleArgument = None, who: WhoOption = None
) -> None:
    """End what was armed or disarmed by hand: the schedule's windows count again.

    Without a schedule that is so of all, whatever was done to each.

    Example: `run_monitor.py as-scheduled nights --config monitor.yaml`
    """
    _switch(config, Switch.AS_SCHEDULED, schedule, None, who)


def _switch(
    config: Path, act: Switch, schedule: str | None, time: str | None, who: str | None
) -> None:
    alerts, now = load_config(config, look=False).alerts, SystemClock().now().utc
    try:
        until = now + timedelta(seconds=parse_duration(time)) if time else None
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{time!r}: {error}", remedy="write 30m, 2h or 1d") from error
    with open_memory(None, config) as engine:
        switch(engine, alerts, act, schedule, until=until, who=who_am_i(who), now=now)
    ends = f" until {until.astimezone():%F %H:%M}" if until else ""
    state = {Switch.ARM: "armed", Switch.DISARM: "disarmed"}.get(act, "as scheduled")
    sys.stdout.write(f"{schedule or 'everything'} is {state}{ends}\n")
