"""The configuration: small pydantic models, one topic a module, and the loader."""

from __future__ import annotations

from monitor.config.base import ConfigModel, Duration
from monitor.config.camera import (
    CameraConfig,
    CameraSettings,
    DecodePolicy,
    HardwareDecoder,
    Pacing,
    SourceConfig,
    Transport,
    ViewKind,
    ZoneConfig,
)
from monitor.config.capture import CaptureConfig
from monitor.config.inference import Device, InferenceConfig, Precision
from monitor.config.learning import LearningConfig
from monitor.config.loader import check_config, load_config
from monitor.config.presence import PresenceConfig
from monitor.config.problems import Problem, Severity
from monitor.config.root import MonitorConfig
from monitor.config.service import LogFormat, LoggingConfig, LogLevel
from monitor.config.storage import DatabaseConfig, HistoryConfig, RetentionConfig, SnapshotConfig
from monitor.config.urls import SourceKind, source_kind
from monitor.config.web import Role, TokenConfig, UserConfig, WebConfig

__all__ = [
    "CameraConfig",
    "CameraSettings",
    "CaptureConfig",
    "ConfigModel",
    "DatabaseConfig",
    "DecodePolicy",
    "Device",
    "Duration",
    "HardwareDecoder",
    "HistoryConfig",
    "InferenceConfig",
    "LearningConfig",
    "LogFormat",
    "LogLevel",
    "LoggingConfig",
    "MonitorConfig",
    "Pacing",
    "Precision",
    "PresenceConfig",
    "Problem",
    "RetentionConfig",
    "Role",
    "Severity",
    "SnapshotConfig",
    "SourceConfig",
    "SourceKind",
    "TokenConfig",
    "Transport",
    "UserConfig",
    "ViewKind",
    "WebConfig",
    "ZoneConfig",
    "check_config",
    "load_config",
    "source_kind",
]
