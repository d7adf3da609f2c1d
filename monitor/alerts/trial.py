"""A marked trial of one channel, past the outbox: does it arrive?"""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from monitor.alerts.channels.making import make_channel
from monitor.alerts.notices import Notice, RefusedError, UnavailableError
from monitor.config.channels import ChannelConfig
from monitor.errors import ServiceError
from monitor.telemetry import redact

_PIXEL = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300"
    + "08" * 64
    + "ffc0000b080001000101011100ffc4001400010000000000000000000000000000000009"
    "ffc40014100100000000000000000000000000000000ffda0008010100003f0054dfffd9"
)
"""A grey JPEG of one pixel, in the place of a snapshot."""


def send_trial(name: str, settings: ChannelConfig, now: datetime) -> None:
    """Send a notice marked as a trial. Raises ServiceError with what the receiver said."""
    notice = Notice(
        id=uuid4(),
        key=uuid4(),
        rule="trial",
        trigger="occupied",
        severity="info",
        camera="trial",
        zone="trial",
        at=now,
        title=f"trial of the channel {name}",
        reasons=("sent by hand with `alerts test`",),
        members=("trial/trial",),
        trial=True,
        picture=lambda: _PIXEL,
    )
    channel = make_channel(settings, trial=True)
    try:
        channel.send(notice)
    except (RefusedError, UnavailableError) as error:
        raise ServiceError(
            redact(str(error)),
            where=f"alerts.channels.{name}",
            remedy="check address, login and the receiver, then try again",
        ) from error
    finally:
        channel.close()
