"""The RTSP server as a process that tests start, stop, freeze and kill."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

SYSTEM_PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("server.py")
INSTALL = "scripts/system-deps.sh"
_START_TIMEOUT = 20.0


@dataclass(frozen=True)
class Clip:
    """What is served under one name; `loss`: the share of RTP packets that get lost."""

    path: Path
    codec: str = "h264"
    fps: float = 15.0
    loss: float = 0.0


def missing() -> str | None:
    """Why the server cannot be run here and what to do about it; None if it can."""
    probe = (
        "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0');"
        "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
        "assert all(map(Gst.ElementFactory.find, ('appsrc', 'h264parse', 'h265parse',"
        " 'rtph264pay', 'rtph265pay')))"
    )
    try:
        subprocess.run([SYSTEM_PYTHON, "-c", probe], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return f"GStreamer's RTSP server is missing; run {INSTALL}"
    return None


class RtspServer:
    """One server process; `restart` keeps the port."""

    def __init__(
        self,
        clips: Mapping[str, Clip],
        *,
        auth: str = "none",
        user: str = "",
        password: str = "",
    ) -> None:
        self._clips = clips
        self._login = ["--auth", auth, "--user", user, "--password", password]
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Run it and wait until it listens."""
        clips = [
            f"--clip={name}={clip.path}:{clip.codec}:{clip.fps}:{clip.loss}"
            for name, clip in self._clips.items()
        ]
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(SCRIPT), "--port", str(self.port), *self._login, *clips],
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/")},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("port "):
            self.kill()
            raise RuntimeError("the RTSP server did not start")
        self.port = int(line.split()[1])

    def url(self, name: str, user: str = "", password: str = "") -> str:
        """Where a clip is served; login percent-encoded."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        return f"rtsp://{login}127.0.0.1:{self.port}/{name}"

    def kill(self) -> None:
        """End it with SIGKILL: no goodbye to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def restart(self, clips: Mapping[str, Clip] | None = None) -> None:
        """Run it again on the same port, with other clips if there are any."""
        self._clips = clips or self._clips
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                self.start()
                return
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nothing comes."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
