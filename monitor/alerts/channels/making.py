"""From a channel's configuration to the channel."""

from __future__ import annotations

from monitor.alerts.channels.mqtt import Deliver, MqttChannel
from monitor.alerts.channels.webhook import WebhookChannel
from monitor.alerts.notices import Channel
from monitor.config.channels import ChannelConfig


def make_channel(
    settings: ChannelConfig, *, trial: bool = False, deliver: Deliver | None = None
) -> Channel:
    """The channel; opens no connection yet.

    `trial`: it runs beside the monitor's own. `deliver` takes door messages of a broker.
    """
    if settings.webhook is not None:
        return WebhookChannel(settings.webhook)
    if settings.mqtt is not None:
        return MqttChannel(settings.mqtt, trial=trial, deliver=deliver)
    raise NotImplementedError(settings.kind)
