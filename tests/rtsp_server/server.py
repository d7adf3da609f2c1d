"""A real RTSP server, run by the system's Python: GStreamer's, fed with pictures encoded before.

    /usr/bin/python3 server.py --clip cam1=clip.au:h264:15:0 [--clip ...] [--port 0]
        [--auth none|basic|digest --user U --password P]

Each clip is served in an endless loop under its name; all viewers share one stream. Prints
`port N` when it listens. Behind path, codec and frames a second stands the share of RTP packets
that are to be lost. A clip file is a sequence of access units, each behind its length
(4 bytes, big-endian); the first one is a keyframe.
"""

from __future__ import annotations

import argparse
import os
import random
import struct
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - versions come first

ROLE = "viewer"
QUEUE = 4
"""Access units that may wait; more are not fed until some are gone."""


def access_units(path: Path) -> list[bytes]:
    data, units, at = path.read_bytes(), [], 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        units.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return units


class Mount:
    """Feeds one clip to the pipeline of each media that the server makes of it."""

    def __init__(self, units: list[bytes], codec: str, fps: float, loss: float) -> None:
        self.units = units
        self.fps = fps
        self.loss = loss
        self.factory = GstRtspServer.RTSPMediaFactory()
        self.factory.set_shared(True)
        # multifilesrc would give every packet the RTP time 0: appsrc stamps them as they come.
        self.factory.set_launch(
            f"( appsrc name=feed is-live=true do-timestamp=true format=time "
            f"caps=video/x-{codec},stream-format=byte-stream,alignment=au "
            f"! {codec}parse ! rtp{codec}pay name=pay0 pt=96 config-interval=-1"
            f"{' mtu=16000' if loss else ''} )"  # a packet each NAL unit, never a list of them
        )
        self.factory.connect("media-configure", self.configure)

    def configure(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        feed = media.get_element().get_by_name("feed")
        position = [0]
        if self.loss:
            chance = random.Random(4)

            def lose(_pad: Gst.Pad, _info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
                lost = chance.random() < self.loss
                return Gst.PadProbeReturn.DROP if lost else Gst.PadProbeReturn.OK

            payloader = media.get_element().get_by_name("pay0")
            payloader.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, lose)

        def push() -> bool:
            if feed.get_property("current-level-buffers") < QUEUE:
                unit = self.units[position[0] % len(self.units)]
                feed.emit("push-buffer", Gst.Buffer.new_wrapped(unit))
                position[0] += 1
            return True

        timer = GLib.timeout_add(round(1000 / self.fps), push)
        media.connect("unprepared", lambda _media: GLib.source_remove(timer))


def protect(server: GstRtspServer.RTSPServer, mounts: list[Mount], options: argparse.Namespace):
    """Ask for user and password."""
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE)
    auth = GstRtspServer.RTSPAuth()
    if options.auth == "basic":
        basic = GstRtspServer.RTSPAuth.make_basic(options.user, options.password)
        auth.add_basic(basic, token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(options.user, options.password, token)
    server.set_auth(auth)
    for mount in mounts:
        permissions = GstRtspServer.RTSPPermissions()
        for permission in (
            GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS,
            GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT,
        ):
            permissions.add_permission_for_role(ROLE, permission, True)
        mount.factory.set_permissions(permissions)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", action="append", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--auth", choices=["none", "basic", "digest"], default="none")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    options = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    mounts = []
    for clip in options.clip:
        name, _, description = clip.partition("=")
        path, codec, fps, loss = description.rsplit(":", 3)
        mount = Mount(access_units(Path(path)), codec, float(fps), float(loss))
        server.get_mount_points().add_factory(f"/{name}", mount.factory)
        mounts.append(mount)
    if options.auth != "none":
        protect(server, mounts, options)
    if not server.attach(None):
        raise SystemExit("the port is taken")
    loop = GLib.MainLoop()
    parent = os.getppid()
    GLib.timeout_add(500, lambda: os.getppid() == parent or loop.quit())  # no orphans
    print(f"port {server.get_bound_port()}", flush=True)  # noqa: T201
    loop.run()


if __name__ == "__main__":
    main()
