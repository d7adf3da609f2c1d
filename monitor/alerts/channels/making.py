"""From a channel's configuration to the channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monitor.alerts.channels.command import CommandChannel
from monitor.alerts.channels.mqtt import Deliver, MqttChannel
from monitor.alerts.channels.relay import OnvifChannel, RelayChannel
from monitor.alerts.channels.smtp import SmtpChannel
from monitor.alerts.channels.syslog import SyslogChannel
from monitor.alerts.channels.webhook import WebhookChannel
from monitor.alerts.notices import Channel
from monitor.config.channels import ChannelConfig

_KINDS: dict[str, Callable[[Any], Channel]] = {
    "webhook": WebhookChannel,
    "smtp": SmtpChannel,
    "syslog": SyslogChannel,
    "command": CommandChannel,
    "relay": RelayChannel,
    "onvif": OnvifChannel,
}


def make_channel(
    settings: ChannelConfig, *, trial: bool = False, deliver: Deliver | None = None
) -> Channel:
    """The channel; opens no connection yet.

    `trial`: it runs beside the monitor's own. `deliver` takes door messages of a broker.
    """
    if settings.mqtt is not None:
        return MqttChannel(settings.mqtt, trial=trial, deliver=deliver)
    return _KINDS[settings.kind](getattr(settings, settings.kind))
