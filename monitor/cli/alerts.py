"""`alerts`: look at alerts, deal with them, and try the channels."""

from __future__ import annotations

import getpass
import sys
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.alerts import desk
from monitor.alerts.models import AlertRow, DeliveryRow
from monitor.alerts.outbox import AlertState
from monitor.alerts.trial import send_trial
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import ConfigOption, DbOption, TimezoneOption, find_timezone, open_memory
from monitor.clock import SystemClock
from monitor.config import LoggingConfig, load_config
from monitor.errors import UsageError
from monitor.events.moments import parse_moment
from monitor.telemetry import configure_logging

app = typer.Typer(
    help="Look at alerts, acknowledge and close them, send dead letters again, try channels.",
    no_args_is_help=True,
)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The alert's id or its beginning.")]
WhoOption = Annotated[
    str | None, typer.Option("--who", metavar="NAME", help="Who you are; else your login name.")
]
CommentOption = Annotated[
    str, typer.Option("--comment", "-m", metavar="TEXT", help="What the audit log shall say.")
]


def who_am_i(name: str | None) -> str:
    """The name for the audit log. Raises UsageError when nobody can be found."""
    try:
        return name or getpass.getuser()
    except (OSError, KeyError) as error:
        raise UsageError("your login name is unknown", remedy="give --who NAME") from error


@app.command("list")
def list_alerts(
    state: Annotated[AlertState | None, typer.Option(help="Only alerts in this state.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only alerts of this rule.")] = None,
    camera: Annotated[str | None, typer.Option(help="Only alerts of this camera.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Since 2h, yesterday, 2026-03-01 ….")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show at most so many.")] = 100,
    output: FormatOption = Format.TABLE,
    timezone: TimezoneOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """List alerts, newest first.

    An alert that gathered others shows their number; suppressed ones were recorded while their
    rule was cooling down or a maintenance window was open, and nobody was told.

    Example: `run_monitor.py alerts list --state open --since yesterday`
    """
    zone = find_timezone(timezone)
    moment = parse_moment(since, now=SystemClock().now().utc, zone=zone) if since else None
    with open_memory(db, config) as engine:
        found = desk.find_alerts(
            engine, state=state, rule=rule, camera=camera, since=moment, limit=limit
        )
    columns = ("id", "at", "severity", "rule", "title", "count", "state")
    print_rows((_alert(row, zone) for row in found), columns, output)


@app.command()
def show(
    alert: IdArgument,
    output: FormatOption = Format.TABLE,
    timezone: TimezoneOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Show one alert: why it was raised, whom it reached, and who dealt with it.

    Example: `run_monitor.py alerts show 7d0a`
    """
    zone = find_timezone(timezone)
    with open_memory(db, config) as engine:
        file = desk.open_file(engine, alert)
    head = _alert(file.alert, zone) | {"reasons": file.alert.reasons}
    deliveries = [_delivery(row, zone) for row in file.deliveries]
    actions = [
        {"at": row.at.astimezone(zone), "who": row.who, "action": row.action,
         "comment": row.comment} for row in file.actions
    ]  # fmt: skip
    gathered = [_alert(row, zone) for row in file.children]
    if output is Format.JSON:
        everything = {"deliveries": deliveries, "gathered": gathered, "actions": actions}
        print_rows([head | everything], (), output)
        return
    facts = ({"what": key, "is": value} for key, value in head.items())
    print_rows(facts, ("what", "is"), output)
    for title, rows in (("deliveries", deliveries), ("gathered", gathered), ("actions", actions)):
        if rows:
            print_rows(rows, tuple(rows[0]), output, title=title)


@app.command()
def ack(
    alert: IdArgument,
    comment: CommentOption = "",
    who: WhoOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Acknowledge an alert: somebody deals with it, so that it does not escalate.

    Example: `run_monitor.py alerts ack 7d0a --comment "guard is on the way"`
    """
    _act(alert, AlertState.ACKNOWLEDGED, comment, who, db, config)


@app.command()
def close(
    alert: IdArgument,
    comment: CommentOption = "",
    who: WhoOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Close an alert for good.

    Example: `run_monitor.py alerts close 7d0a --comment "the cleaner"`
    """
    _act(alert, AlertState.CLOSED, comment, who, db, config)


@app.command()
def comment(
    alert: IdArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What the audit log shall say.")],
    who: WhoOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Comment on an alert without changing its state.

    Example: `run_monitor.py alerts comment 7d0a "seen on the recording, a fox"`
    """
    _act(alert, None, text, who, db, config)


@app.command()
def test(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel's name.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")],
) -> None:
    """Send a notice marked [TRIAL] by one channel, now and past the outbox.

    A siren or door is really switched. Exits 69 with what the receiver said when it fails.

    Example: `run_monitor.py alerts test ops-mail --config monitor.yaml`
    """
    channels = load_config(config, look=False).alerts.channels
    if channel not in channels:
        raise UsageError(
            f"there is no channel {channel!r}", remedy=f"choose of {', '.join(channels) or 'none'}"
        )
    send_trial(channel, channels[channel], SystemClock().now().utc)
    sys.stdout.write(f"the trial went out by {channel}\n")


@app.command()
def dead(
    channel: Annotated[str | None, typer.Option(help="Only of this channel.")] = None,
    output: FormatOption = Format.TABLE,
    timezone: TimezoneOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """List dead letters: deliveries that were refused for good or expired.

    Example: `run_monitor.py alerts dead --channel ops-mail`
    """
    zone = find_timezone(timezone)
    with open_memory(db, config) as engine:
        found = desk.dead_letters(engine, channel)
    rows = ({**_delivery(row, zone), "title": title} for row, title in found)
    print_rows(rows, ("number", "channel", "created", "title", "tries", "said"), output)


@app.command()
def redrive(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="NUMBER", help="Numbers that `dead` lists.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    channel: Annotated[str | None, typer.Option(help="Only of this channel.")] = None,
    who: WhoOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Owe dead letters again; the running monitor delivers them within a second.

    Example: `run_monitor.py alerts redrive --all --channel ops-mail`
    """
    if bool(numbers) == all_:
        raise UsageError("name dead letters by number, or say --all", remedy="`alerts dead`")
    now = SystemClock().now().utc
    with open_memory(db, config) as engine:
        count = desk.redrive(engine, numbers or (), channel=channel, who=who_am_i(who), now=now)
    sys.stdout.write(f"{count} deliveries are owed again\n")


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show at most so many.")] = 100,
    output: FormatOption = Format.TABLE,
    timezone: TimezoneOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Show what people did with alerts, grants and schedules, newest first.

    The audit log holds the same and more, chained against tampering: `run_monitor.py audit`.

    Example: `run_monitor.py alerts audit --limit 20`
    """
    zone = find_timezone(timezone)
    with open_memory(db, config) as engine:
        found = desk.actions(engine, limit)
    columns = ("at", "who", "action", "subject", "comment")
    rows = ({name: getattr(row, name) for name in columns} for row in found)
    print_rows(({**row, "at": row["at"].astimezone(zone)} for row in rows), columns, output)


def _act(
    alert: str,
    state: AlertState | None,
    text: str,
    who: str | None,
    db: str | None,
    config: Path | None,
) -> None:
    configure_logging(LoggingConfig())
    now = SystemClock().now().utc
    with open_memory(db, config) as engine:
        row = desk.act(engine, alert, state, who=who_am_i(who), now=now, comment=text)
    sys.stdout.write(f"{row.id} is {row.state}\n")


def _alert(row: AlertRow, zone: tzinfo) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "at": row.at.astimezone(zone),
        "severity": row.severity,
        "rule": row.rule,
        "trigger": row.trigger,
        "title": row.title,
        "count": row.count,
        "state": row.state,
        "camera": row.camera,
        "zone": row.zone,
        "event": str(row.event_id) if row.event_id else None,
    }


def _delivery(row: DeliveryRow, zone: tzinfo) -> dict[str, Any]:
    return {
        "number": row.id,
        "channel": row.channel,
        "state": row.state,
        "tries": row.attempts,
        "created": row.created_at.astimezone(zone),
        "sent": row.sent_at.astimezone(zone) if row.sent_at else None,
        "said": row.last_error,
    }
