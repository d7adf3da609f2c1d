"""The whole configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from monitor.config.alerts import AlertConfig
from monitor.config.base import ConfigModel
from monitor.config.camera import CameraConfig, CameraSettings, Name
from monitor.config.capture import CaptureConfig
from monitor.config.inference import InferenceConfig
from monitor.config.learning import LearningConfig
from monitor.config.service import LoggingConfig
from monitor.config.storage import DatabaseConfig, HistoryConfig, RetentionConfig, SnapshotConfig
from monitor.config.web import WebConfig


class MonitorConfig(ConfigModel):
    """Everything the daemon needs to know. Relative paths are relative to the working directory."""

    database: DatabaseConfig = DatabaseConfig()
    capture: CaptureConfig = CaptureConfig()
    inference: InferenceConfig = InferenceConfig()
    snapshots: SnapshotConfig = SnapshotConfig()
    retention: RetentionConfig = RetentionConfig()
    history: HistoryConfig = HistoryConfig()
    learning: LearningConfig = LearningConfig()
    web: WebConfig = WebConfig()
    logging: LoggingConfig = LoggingConfig()
    alerts: AlertConfig = AlertConfig()

    defaults: CameraSettings = CameraSettings()
    """Settings of every camera that does not say otherwise."""

    cameras: dict[Name, CameraConfig] = Field(min_length=1)
    """The cameras by name."""

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, data: Any) -> Any:
        """Push `defaults` into every camera and each camera's presence into its zones."""
        if not isinstance(data, Mapping) or not isinstance(data.get("cameras"), Mapping):
            return data
        defaults = data.get("defaults")
        base = defaults if isinstance(defaults, Mapping) else {}
        cameras = {name: _inherit_camera(base, raw) for name, raw in data["cameras"].items()}
        return {**data, "cameras": cameras}


def _inherit_camera(defaults: Mapping[str, Any], raw: Any) -> Any:
    if not isinstance(raw, Mapping):
        return raw
    camera = merge(defaults, raw)
    zones, presence = camera.get("zones"), camera.get("presence")
    if isinstance(zones, Mapping) and isinstance(presence, Mapping):
        camera["zones"] = {
            name: merge({"presence": presence}, zone) if isinstance(zone, Mapping) else zone
            for name, zone in zones.items()
        }
    return camera


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid upon it, mapping by mapping; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged
