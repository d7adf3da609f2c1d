"""`cameras`: find them, see what they send, and set how they send it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import typer
from rich.console import Console

from monitor.capture import discovery
from monitor.capture.advice import Entry, advise, as_yaml, camera_name, entry
from monitor.capture.discovery import Device
from monitor.capture.onvif import OnvifCamera, Profile, device_url
from monitor.capture.probing import StreamReport
from monitor.capture.probing import probe as probe_stream
from monitor.capture.streams import stream_entry, stream_row
from monitor.cli import camera_health
from monitor.cli.camera_login import (
    Login,
    filled,
    is_networked,
    login_for,
    login_of,
    source_config,
    with_login,
)
from monitor.cli.camera_output import (
    Format,
    FormatOption,
    print_lines,
    print_report,
    print_table,
    print_yaml,
)
from monitor.cli.camera_settings import Wish, change_settings
from monitor.config import Transport
from monitor.config.base import parse_duration
from monitor.errors import MonitorError, UsageError

app = typer.Typer(help="Find cameras, see what they send, set how.", no_args_is_help=True)
app.add_typer(camera_health.app)

AT_ONCE = 8
"""Cameras that are asked at the same time."""

UserOption = Annotated[
    str | None,
    typer.Option(
        "--user",
        "-u",
        help="An account of the camera; its password from CAMERA_PASSWORD, or asked for.",
    ),
]
_SERVICE = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[^\s/@:\[\]]+)(:\d{1,5})?(/[^\s@]*)?")
T = TypeVar("T")
R = TypeVar("R")


@app.command()
def probe(
    urls: Annotated[
        list[str],
        typer.Argument(metavar="URL…", help="As in `source.url`; ${NAME} is filled in."),
    ],
    seconds: Annotated[
        float, typer.Option(min=0.5, max=600.0, help="How long each is watched.")
    ] = 6.0,
    timeout: Annotated[str, typer.Option(help="How long connecting may take.")] = "5s",
    transport: Annotated[Transport, typer.Option(help="RTSP over tcp or udp.")] = Transport.TCP,
    user: UserOption = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Set keyframes and frame rate at the camera by ONVIF.")
    ] = False,
    gop: Annotated[
        str, typer.Option(help="--apply: from one keyframe to the next, at most.")
    ] = "2s",
    fps: Annotated[
        float | None,
        typer.Option(min=1.0, max=60.0, help="--apply: frames a second; else at most 15."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="--apply: the profile, if the URL does not tell.")
    ] = None,
    onvif: Annotated[
        str | None,
        typer.Option(help="--apply: the device service; else http://HOST/onvif/device_service."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="--apply: do not ask.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """See what a camera sends, and what to change so that watching it costs least.

    Watches each stream for a few seconds without decoding it: codec, resolution, frame rate,
    distance of keyframes, B-frames, bit rate, sound. Advises, and prints the camera's entry for
    `cameras:`. Logins are never printed; single quotes keep them out of the shell's hands:

    Example: `run_monitor.py cameras probe 'rtsp://viewer:${CAMERA_PASSWORD}@10.0.0.5/stream1'`

    With `--apply` it asks the camera by ONVIF to send a keyframe every 2 s and 15 frames a
    second at most, shows before and after, and asks first:

    Example: `run_monitor.py cameras probe rtsp://10.0.0.5/stream1 --user admin --apply`
    """
    if apply and len(urls) > 1:
        raise UsageError("--apply sets one camera at a time", remedy="name one URL")
    wait, wish = _duration(timeout, "--timeout"), Wish(_duration(gop, "--gop"), fps)
    login = login_for(user)
    wanted = [with_login(filled(url), login) for url in urls]
    configs = [source_config(url, transport, wait) for url in wanted]
    found = _each(lambda config: probe_stream(config, seconds=seconds), configs)
    _print_probes(wanted, found, transport, output)
    failures = [each for each in found if isinstance(each, MonitorError)]
    if failures and len(found) == 1:
        raise failures[0]
    for failure in failures:
        sys.stderr.write(f"error: {failure}\n")
    if failures:
        raise typer.Exit(failures[0].exit_code)
    if apply:
        _apply(wanted[0], onvif, login or login_of(wanted[0]), profile, wish, yes, output)


def _apply(
    url: str,
    onvif: str | None,
    login: Login | None,
    profile: str | None,
    wish: Wish,
    yes: bool,
    output: Format,
) -> None:
    if not is_networked(url):
        raise UsageError(
            "--apply is for cameras in the network", where=url, remedy="leave --apply away"
        )
    if login is None:
        raise UsageError("--apply needs a login", remedy="name an account: --user NAME")
    service = onvif or device_url(url)
    if not _SERVICE.fullmatch(service):
        raise UsageError(
            "--onvif takes an address without a login",
            remedy="write http://HOST:PORT/PATH, and the account as --user",
        )
    result = change_settings(url, service, login, wish=wish, profile=profile, yes=yes)
    if output is Format.JSON:
        print_lines([result], (), output)


def _print_probes(
    urls: Sequence[str],
    found: Sequence[StreamReport | MonitorError],
    transport: Transport,
    output: Format,
) -> None:
    entries: list[Entry] = []
    rows: list[dict[str, Any]] = []
    for url, report in zip(urls, found, strict=True):
        if isinstance(report, MonitorError):
            rows.append({"url": report.where, "advice": [], "error": report.what})
            continue
        stem = urlsplit(url).hostname if is_networked(url) else Path(url).stem
        name = camera_name(stem or "", [each.name for each in entries])
        entries.append(entry(report, url, name=name, transport=transport))
        rows.append(asdict(report) | {"advice": advise(report), "yaml": as_yaml(entries[-1:])})
        if output is Format.TABLE:
            print_report(report)
            sys.stdout.write("\n")
    if output in (Format.TABLE, Format.YAML):
        print_yaml(entries)
    else:
        columns = [key for key in StreamReport.__dataclass_fields__ if key != "packets"]
        flat = [row | {"advice": "; ".join(row["advice"])} for row in rows]
        print_lines(rows if output is Format.JSON else flat, [*columns, "advice", "error"], output)


@app.command()
def discover(
    timeout: Annotated[str, typer.Option(help="How long to listen for answers.")] = "3s",
    interface: Annotated[
        list[str] | None, typer.Option(help="Ask through this one only, as eth0; repeatable.")
    ] = None,
    user: UserOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Find the ONVIF cameras of this network.

    Asks everybody once by multicast (WS-Discovery), so it finds what is in the same network
    segment. With `--user` each camera is asked for its streams as well, and the entries for
    `cameras:` are printed, with the smaller stream to watch. A login is shown only to the very
    address that answered, and only as a digest.

    Example: `run_monitor.py cameras discover --user viewer`
    """
    login = login_for(user)
    devices = discovery.discover(_duration(timeout, "--timeout"), interfaces=interface or None)
    found = _each(lambda device: _streams(device, login), devices)
    rows = [_device_row(*each) for each in zip(devices, found, strict=True)]
    columns = ("address", "name", "hardware", "location", "xaddrs")
    if output is Format.TABLE and rows:
        print_table([{key: _text(row[key]) for key in columns} for row in rows], columns)
    elif output is not Format.YAML:
        print_lines(rows, [*columns, "streams", "error"], output)
    if login is not None and output in (Format.TABLE, Format.YAML):
        print_yaml(_entries(devices, found, login.user))
    for row in rows:
        if row["error"] and output is not Format.JSON:
            sys.stderr.write(f"{row['address']}: {row['error']}\n")
    if not devices:
        sys.stderr.write("nobody answered; cameras in other segments have to be probed by URL\n")


def _streams(device: Device, login: Login | None) -> list[Profile]:
    if login is None:
        return []
    if device.onvif is None:
        raise UsageError("names only addresses that are not its own; no login is shown to them")
    with OnvifCamera(device.onvif, login.user, login.password) as camera:
        return camera.profiles()


def _entries(
    devices: Sequence[Device], found: Sequence[list[Profile] | MonitorError], user: str
) -> list[Entry]:
    entries: list[Entry] = []
    for device, profiles in zip(devices, found, strict=True):
        if isinstance(profiles, MonitorError):
            continue
        name = camera_name(device.name or device.address, [each.name for each in entries])
        if (made := stream_entry(profiles, name=name, user=user)) is not None:
            entries.append(made)
    return entries


def _device_row(device: Device, found: list[Profile] | MonitorError) -> dict[str, Any]:
    profiles = [] if isinstance(found, MonitorError) else found
    return {
        "address": device.address,
        "name": device.name,
        "hardware": device.hardware,
        "location": device.location,
        "xaddrs": list(device.xaddrs),
        "streams": [stream_row(each) for each in profiles],
        "error": str(found) if isinstance(found, MonitorError) else "",
    }


def _each(work: Callable[[T], R], items: Sequence[T]) -> list[R | MonitorError]:
    """Do `work` on several at a time; one that fails keeps no other from being done."""

    def guarded(item: T) -> R | MonitorError:
        try:
            return work(item)
        except MonitorError as error:
            return error

    with (
        Console(stderr=True).status(f"asking {len(items)} camera(s) …"),
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        return list(pool.map(guarded, items))


def _duration(text: str, option: str) -> float:
    try:
        seconds = float(parse_duration(text))
    except ValueError as error:
        raise UsageError(str(error), where=option, remedy="write 500ms or 2s") from error
    if not 0.1 <= seconds <= 120.0:
        raise UsageError("is out of range", where=option, remedy="100ms to 2m")
    return seconds


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
