"""Rules, schedules, doors and channels: when somebody is told, what, and how."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, Field, SecretStr, field_validator, model_validator

from monitor.config.base import ConfigModel, Duration
from monitor.config.camera import Name
from monitor.config.channels import ChannelConfig
from monitor.config.schedules import ScheduleConfig, parse_zone

SHORTEST_TOKEN = 16


class Trigger(StrEnum):
    """What a rule waits for."""

    OCCUPIED = "occupied"
    """Somebody came, and stays for `after`."""
    VACATED = "vacated"
    """Everybody left."""
    VACANT = "vacant"
    """Nobody was there for `after`: the guard who should be."""
    CAMERA_LOST = "camera_lost"
    """A camera has not been seen for `after`."""
    TAMPER = "tamper"
    """A camera shows signs of tampering: it was covered, moved or defocused, its picture is frozen
    or has another resolution."""
    OCCUPIED_WITHOUT_GRANT = "occupied_without_grant"
    """Somebody came, and within `after` there was no valid grant for the zone."""
    STILL_OCCUPIED_AFTER_EXIT = "still_occupied_after_exit"
    """The last badge left through the zone's door, and `after` later somebody is there."""
    DOOR_FORCED = "door_forced"
    """A door opened though nobody was let in or out."""
    DOOR_HELD = "door_held"
    """A door stands open for `after`."""


class Severity(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class EscalationConfig(ConfigModel):
    """Who is told when nobody acknowledges."""

    after: Duration = Field(gt=0.0, le=7 * 86400.0)
    """How long an alert may stay unacknowledged."""

    channels: list[Name] = Field(min_length=1)
    """Channels that are told then."""


class RuleConfig(ConfigModel):
    """One rule: what, where, when, and who is told."""

    on: Trigger
    """occupied, vacated, vacant, camera_lost, tamper, occupied_without_grant,
    still_occupied_after_exit, door_forced or door_held."""

    after: Duration = Field(default=0.0, ge=0.0, le=7 * 86400.0)
    """How long it must last; for occupied_without_grant the time in which a grant may come."""

    cameras: list[Name] = Field(default_factory=list)
    """Only these cameras; with no scope at all every zone counts."""

    zones: list[str] = Field(default_factory=list)
    """Only these zones, each as camera/zone."""

    groups: list[Name] = Field(default_factory=list)
    """Only the zones of these groups."""

    doors: list[Name] = Field(default_factory=list)
    """door_* and still_occupied_after_exit: only these doors."""

    presence: str = Field(default="any", pattern="^(any|occupied|vacant)$")
    """door_*: only with somebody in the door's zone (occupied), with nobody (vacant), or any."""

    armed: list[Name] = Field(default_factory=list)
    """Schedules in whose windows the rule is armed; without any, always."""

    severity: Severity = Severity.WARNING
    """info, warning or critical."""

    cooldown: Duration = Field(default=60.0, ge=0.0, le=7 * 86400.0)
    """After an alert, further ones of this rule in the same zone are only recorded for so long."""

    coalesce: Duration = Field(default=0.0, ge=0.0, le=3600.0)
    """Alerts of this rule within so long are told as one that counts; 0 tells each at once."""

    channels: list[Name] = Field(default_factory=list)
    """Who is told; without any, the alert is only recorded."""

    escalate: EscalationConfig | None = None
    """Who else is told when nobody acknowledges."""


class SilenceConfig(ConfigModel):
    """A maintenance window: alerts are recorded, nobody is told."""

    since: AwareDatetime
    """Begin, with its time zone."""

    until: AwareDatetime
    """End, with its time zone."""

    cameras: list[Name] = Field(default_factory=list)
    """Only these cameras; without any, all."""

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.until <= self.since:
            raise ValueError("until is not after since; a span that goes forwards")
        return self


class DoorConfig(ConfigModel):
    """A door with a reader or contact, and the zone behind it."""

    zone: str
    """The zone that is entered by it, as camera/zone."""

    unlock: Duration = Field(default=10.0, gt=0.0, le=600.0)
    """How long after a badge or exit button the door may be opened."""

    grant: Duration = Field(default=900.0, ge=0.0, le=86400.0)
    """How long a badge let in here is a grant for the zone; 0 makes none."""

    single_use: bool = False
    """True: leaving the zone uses such a grant up."""


class IntakeConfig(ConfigModel):
    """How badge and door events come in."""

    token: SecretStr | None = None
    """Bearer token of POST /api/grants and /api/door-events; without it both are closed."""

    folder: Path | None = None
    """A folder whose *.csv files of door events are read and then renamed to *.csv.done."""

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < SHORTEST_TOKEN:
            raise ValueError(f"is too short to be a secret; {SHORTEST_TOKEN} characters or more")
        return token


class AlertConfig(ConfigModel):
    """Alerts: rules, when they are armed, and the channels that carry them."""

    timezone: str = "UTC"
    """Time zone of the schedules, such as Europe/Berlin."""

    rules: dict[Name, RuleConfig] = Field(default_factory=dict, max_length=1000)
    """The rules by name."""

    channels: dict[Name, ChannelConfig] = Field(default_factory=dict, max_length=100)
    """The channels by name."""

    schedules: dict[Name, ScheduleConfig] = Field(default_factory=dict, max_length=100)
    """Armed windows by name."""

    groups: dict[Name, list[str]] = Field(default_factory=dict, max_length=100)
    """Groups of zones, each camera or camera/zone."""

    doors: dict[Name, DoorConfig] = Field(default_factory=dict, max_length=1000)
    """Doors by name."""

    maintenance: list[SilenceConfig] = Field(default_factory=list, max_length=100)
    """Spans in which nobody is told."""

    intake: IntakeConfig = IntakeConfig()
    """Badge and door events from outside."""

    keep: Duration = Field(default=90 * 86400.0, gt=0.0)
    """Age at which alerts, their deliveries and door events are deleted."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        parse_zone(name)
        return name

    def silenced(self, camera: str, at: datetime) -> bool:
        """Whether a maintenance window covers the camera at that moment."""
        return any(
            span.since <= at < span.until and (not span.cameras or camera in span.cameras)
            for span in self.maintenance
        )
