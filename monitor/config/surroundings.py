"""Checks of a valid configuration against the machine: files and devices, never the network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from monitor.config.alert_checks import check_alerts
from monitor.config.base import format_duration
from monitor.config.camera import CameraConfig
from monitor.config.inference import located
from monitor.config.problems import KeyPath, Severity
from monitor.config.root import MonitorConfig
from monitor.config.urls import SourceKind, source_kind
from monitor.config.web import WebConfig, exposure

Finding = tuple[KeyPath, str, str, Severity]
"""Key path, what is wrong, what would be right, and how bad it is."""

_MODEL_FILES = ("inference.json", "inference.pdmodel")


def look_around(config: MonitorConfig) -> Iterator[Finding]:
    """What of the configuration does not fit this machine, or does not fit together."""
    yield from _check_model(config.inference.model)
    for name, camera in config.cameras.items():
        yield from _check_source(name, camera)
        yield from _check_pace(name, camera)
    if not any(camera.enabled for camera in config.cameras.values()):
        what, allowed = "no camera is enabled", "enabled: true for at least one"
        yield ("cameras",), what, allowed, Severity.WARNING
    yield from check_alerts(config)
    yield from _check_web(config.web)


def _check_model(named: Path) -> Iterator[Finding]:
    path: KeyPath = ("inference", "model")
    folder = located(named)
    if not folder.is_dir():
        kind = "is no folder" if folder.exists() else "does not exist"
        remedy = "the folder of an exported model; the one that is shipped is models/person_exists"
        yield path, f"{folder} {kind} (seen from {Path.cwd()})", remedy, Severity.ERROR
    elif not any((folder / name).is_file() for name in _MODEL_FILES):
        what = f"{folder} holds neither {' nor '.join(_MODEL_FILES)}"
        yield path, what, "the folder of an exported model", Severity.ERROR
    elif not (folder / "inference.pdiparams").is_file():
        what = f"{folder} lacks inference.pdiparams, the weights"
        yield path, what, "the folder of an exported model", Severity.ERROR


def _check_source(name: str, camera: CameraConfig) -> Iterator[Finding]:
    source, path = camera.source, ("cameras", name, "source")
    yield from _check_address((*path, "url"), source.url.get_secret_value(), camera)
    if source.snapshot_url is not None:
        address = source.snapshot_url.get_secret_value()
        yield from _check_address((*path, "snapshot_url"), address, camera)


def _check_address(path: KeyPath, url: str, camera: CameraConfig) -> Iterator[Finding]:
    kind = source_kind(url)
    if kind is SourceKind.WEBCAM and camera.enabled and not Path(url).exists():
        yield path, f"{url} is not there now", "plug it in, or see ls /dev/video*", Severity.WARNING
    if kind is SourceKind.FILE and (fault := _file_fault(Path(url))):
        severity = Severity.ERROR if camera.enabled else Severity.WARNING
        yield path, fault, "a readable video file", severity


def _file_fault(path: Path) -> str:
    if not path.exists():
        return f"video file {path} does not exist (seen from {Path.cwd()})"
    if not path.is_file():
        return f"{path} is no file"
    return "" if os.access(path, os.R_OK) else f"video file {path} may not be read"


def _check_pace(name: str, camera: CameraConfig) -> Iterator[Finding]:
    """A zone whose scores come further apart than `max_gap` would stay UNKNOWN for ever."""
    apart = 1.0 / camera.sample_fps
    settings = (
        [(("cameras", name, "presence"), camera.presence)]
        if not camera.zones
        else [
            (("cameras", name, "zones", zone, "presence"), each.presence)
            for zone, each in camera.zones.items()
        ]
    )
    for path, presence in settings:
        if presence.max_gap <= apart:
            what = (
                f"{format_duration(presence.max_gap)} is no longer than the time between two "
                f"frames at sample_fps {camera.sample_fps:g}: the zone would stay unknown"
            )
            allowed = f"more than {format_duration(apart)}"
            yield (*path, "max_gap"), what, allowed, Severity.ERROR


def _check_web(web: WebConfig) -> Iterator[Finding]:
    if danger := exposure(web):
        yield ("web", "host"), *danger, Severity.WARNING
    files = {"certificate": web.tls.certificate, "key": web.tls.key} if web.tls else {}
    for key, file in files.items():
        if not os.access(file, os.R_OK) or not file.is_file():
            what = f"{file} cannot be read (seen from {Path.cwd()})"
            yield ("web", "tls", key), what, "a PEM file this user may read", Severity.ERROR
