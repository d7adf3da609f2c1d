"""From a channel's configuration to the channel."""

from __future__ import annotations

from monitor.alerts.channels.webhook import WebhookChannel
from monitor.alerts.notices import Channel
from monitor.config.channels import ChannelConfig


def make_channel(settings: ChannelConfig) -> Channel:
    """The channel; opens no connection yet."""
    if settings.webhook is not None:
        return WebhookChannel(settings.webhook)
    raise NotImplementedError(settings.kind)
