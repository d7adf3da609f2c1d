"""Fetching a model from a server that breaks off, changes its mind, or means harm."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from monitor.cli.model import app
from monitor.errors import InputError, ModelError, ServiceError, UsageError
from monitor.training.archive import unpack_model
from monitor.training.card import sha256_of
from monitor.training.download import Download, download, shown
from monitor.training.fetch import fetch_model

PARAMS = bytes(range(256)) * 1200
GRAPH = b"graph of a network"


class Remote:
    """What the server holds and how it misbehaves; `log` has (Range header, status) pairs."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.etag: str | None = '"one"'
        self.modified: str | None = None
        self.cut_after: list[int] = []
        self.statuses: list[int] = []
        self.ranges = True
        self.log: list[tuple[str | None, int]] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        if self.statuses:
            self._reply(handler, self.statuses.pop(0), b"", {}, wanted)
            return
        headers = {"ETag": self.etag, "Last-Modified": self.modified}
        current = handler.headers.get("If-Range") in (self.etag, self.modified)
        if not (wanted and current and self.ranges):
            self._reply(handler, 200, self.body, headers, wanted)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        size = len(self.body)
        if start >= size:
            self._reply(handler, 416, b"", {"Content-Range": f"bytes */{size}"}, wanted)
            return
        headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        self._reply(handler, 206, self.body[start:], headers, wanted)

    def _reply(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        headers: dict[str, Any],
        wanted: str | None,
    ) -> None:
        self.log.append((wanted, status))
        handler.send_response(status)
        for name, value in headers.items():
            if value is not None:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if self.cut_after and body:
            body = body[: self.cut_after.pop(0)]
        handler.wfile.write(body)


@pytest.fixture
def remote() -> Iterator[Remote]:
    served = Remote(archive())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}/models/person_exists_infer.tar"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def archive(*members: tuple[str | tarfile.TarInfo, bytes], official: bool = True) -> bytes:
    """A tar as PaddleClas makes it, with further members behind."""
    stream = io.BytesIO()
    folder = "person_exists_infer"
    plain: list[tuple[str | tarfile.TarInfo, bytes]] = [
        (f"{folder}/inference.pdiparams", PARAMS),
        (f"{folder}/._inference.pdmodel", b"what macOS adds"),
        (f"{folder}/inference.pdiparams.info", b"info"),
        (f"{folder}/inference.pdmodel", GRAPH),
    ]
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for member, data in [*(plain if official else []), *members]:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            if info.isreg():
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def test_fetch_makes_a_model_folder(remote: Remote, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    output = tmp_path / "models" / "official"
    digest = hashlib.sha256(remote.body).hexdigest()
    fetch_model(remote.url, output, sha256=digest, progress=lambda *now: seen.append(now))
    assert {file.name for file in output.iterdir()} == {
        "inference.pdmodel",
        "inference.pdiparams",
        "inference.pdiparams.info",
        "model.json",
    }
    assert (output / "inference.pdiparams").read_bytes() == PARAMS
    assert seen[-1] == (len(remote.body), len(remote.body))
    assert [file.name for file in output.parent.iterdir()] == ["official"]
    assert sha256_of(output / "inference.pdmodel") in (output / "model.json").read_text()


def test_a_download_that_breaks_off_is_resumed(remote: Remote, tmp_path: Path) -> None:
    remote.cut_after = [70_000, 100_000]
    target = tmp_path / "file.tar"
    download(Download(remote.url, target, 1_000_000), pause=0.0)
    assert target.read_bytes() == remote.body
    assert remote.log == [
        (None, 200),
        ("bytes=70000-", 206),
        ("bytes=170000-", 206),
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["file.tar"]


def test_a_later_run_goes_on_where_the_first_gave_up(remote: Remote, tmp_path: Path) -> None:
    remote.etag, remote.modified = 'W/"weak"', formatdate(1_700_000_000, usegmt=True)
    remote.cut_after = [10_000] * 4
    target = tmp_path / "file.tar"
    with pytest.raises(ServiceError, match="goes on after the 40000 bytes"):
        download(Download(remote.url, target, 1_000_000), pause=0.0)
    assert not target.exists()
    download(Download(remote.url, target, 1_000_000), pause=0.0)
    assert target.read_bytes() == remote.body
    assert remote.log[-1] == ("bytes=40000-", 206)


def test_a_file_that_changed_meanwhile_is_not_mixed(remote: Remote, tmp_path: Path) -> None:
    remote.cut_after = [10_000] * 4
    target = tmp_path / "file.tar"
    with pytest.raises(ServiceError):
        download(Download(remote.url, target, 1_000_000), pause=0.0)
    remote.body, remote.etag = bytes(reversed(remote.body)), '"two"'
    download(Download(remote.url, target, 1_000_000), pause=0.0)
    assert target.read_bytes() == remote.body
    assert remote.log[-1] == ("bytes=40000-", 200)


@pytest.mark.parametrize("validators", [True, False])
def test_without_ranges_or_validators_it_starts_over(
    remote: Remote, tmp_path: Path, validators: bool
) -> None:
    remote.ranges = False
    if not validators:
        remote.etag = None
    remote.cut_after = [10_000]
    target = tmp_path / "file.tar"
    download(Download(remote.url, target, 1_000_000), pause=0.0)
    assert target.read_bytes() == remote.body
    assert [status for _, status in remote.log] == [200, 200]
    assert remote.log[1][0] == ("bytes=10000-" if validators else None)


def test_a_part_that_is_complete_already_is_taken(remote: Remote, tmp_path: Path) -> None:
    target = tmp_path / "file.tar"
    remote.cut_after = [len(remote.body) - 1] + [0] * 3
    with pytest.raises(ServiceError):
        download(Download(remote.url, target, 1_000_000), pause=0.0)
    part = tmp_path / "file.tar.part"
    part.write_bytes(remote.body)
    download(Download(remote.url, target, 1_000_000), pause=0.0)
    assert target.read_bytes() == remote.body
    assert remote.log[-1][1] == 416


def test_a_busy_server_is_asked_again(remote: Remote, tmp_path: Path) -> None:
    remote.statuses = [503, 429]
    target = tmp_path / "file.tar"
    download(Download(remote.url, target, 1_000_000), pause=0.0)
    assert target.read_bytes() == remote.body


def test_not_found_is_said_at_once_and_without_the_password(remote: Remote, tmp_path: Path) -> None:
    remote.statuses = [404]
    url = remote.url.replace("http://", "http://user:geheim@") + "?token=geheim"
    with pytest.raises(ServiceError, match="404") as caught:
        download(Download(url, tmp_path / "file.tar", 1_000_000), pause=0.0)
    assert "geheim" not in str(caught.value)
    assert len(remote.log) == 1
    assert "geheim" not in shown(url)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    job = Download("http://127.0.0.1:9/file.tar", tmp_path / "file.tar", 1_000)
    with pytest.raises(ServiceError, match="check the network"):
        download(job, pause=0.0)
    with pytest.raises(ServiceError):
        download(Download("no url at all", tmp_path / "file.tar", 1_000), pause=0.0)


def test_too_large_and_wrong_digest_leave_nothing(remote: Remote, tmp_path: Path) -> None:
    target = tmp_path / "file.tar"
    with pytest.raises(ModelError, match="limit"):
        download(Download(remote.url, target, 1_000), pause=0.0)
    with pytest.raises(ModelError, match="SHA-256"):
        download(Download(remote.url, target, 1_000_000, "00" * 32), pause=0.0)
    assert list(tmp_path.iterdir()) == []


def test_two_fetches_do_not_share_a_part(remote: Remote, tmp_path: Path) -> None:
    with (tmp_path / "file.tar.part").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ServiceError, match="another process"):
            download(Download(remote.url, tmp_path / "file.tar", 1_000_000))


def test_an_existing_folder_is_replaced_only_by_force(remote: Remote, tmp_path: Path) -> None:
    output = tmp_path / "official"
    output.mkdir()
    (output / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not empty"):
        fetch_model(remote.url, output)
    assert remote.log == []
    fetch_model(remote.url, output, force=True)
    assert (output / "inference.pdmodel").read_bytes() == GRAPH
    assert not (output / "mine.txt").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["official"]


def test_a_model_that_fails_its_check_never_lands(remote: Remote, tmp_path: Path) -> None:
    def refuse(folder: Path) -> None:
        assert (folder / "inference.pdmodel").is_file()
        raise ModelError("does not load")

    output = tmp_path / "official"
    with pytest.raises(ModelError, match="does not load"):
        fetch_model(remote.url, output, check=refuse)
    assert list(tmp_path.iterdir()) == []


def test_the_command_makes_a_folder_that_loads(
    remote: Remote, exported: Path, tmp_path: Path
) -> None:
    def tar_of(program: bytes) -> bytes:
        params = (exported / "inference.pdiparams").read_bytes()
        return archive(
            ("small/inference.json", program),
            ("small/inference.pdiparams", params),
            official=False,
        )

    arguments = ["fetch", "--url", remote.url, "--output", str(tmp_path / "models" / "small")]
    remote.body = tar_of(b"{}")
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ModelError)
    assert list((tmp_path / "models").iterdir()) == []
    remote.body = tar_of((exported / "inference.json").read_bytes())
    result = CliRunner().invoke(app, [*arguments, "--format", "json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "model": str(tmp_path / "models" / "small"),
        "source": remote.url,
    }
    assert CliRunner().invoke(app, ["verify", "--model", arguments[-1]]).exit_code == 0


def test_a_disk_that_fills_up_keeps_what_arrived(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("monitor.training.fetch.download", no_room)
    with pytest.raises(InputError, match="No space left"):
        fetch_model(remote.url, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_output_that_is_a_file(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "official").write_text("a file")
    with pytest.raises(InputError, match="is a file"):
        fetch_model(remote.url, tmp_path / "official")


HOSTILE = {
    "absolute path": (("/tmp/inference.yml", b"x"), "outside"),
    "path upwards": (("a/../../inference.yml", b"x"), "outside"),
    "windows path": (("..\\inference.yml", b"x"), "outside"),
    "symlink": ((special("a/inference.yml", tarfile.SYMTYPE, "/etc/passwd"), b""), "link"),
    "hard link": ((special("a/inference.yml", tarfile.LNKTYPE, "/etc/passwd"), b""), "link"),
    "device": ((special("a/null", tarfile.CHRTYPE), b""), "plain file"),
    "fifo": ((special("a/pipe", tarfile.FIFOTYPE), b""), "plain file"),
    "twice": (("b/inference.pdmodel", b"x"), "twice"),
}


@pytest.mark.parametrize(("member", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_members_refuse_the_whole_archive(
    member: tuple[str | tarfile.TarInfo, bytes], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "model.tar"
    file.write_bytes(archive(member))
    with pytest.raises(ModelError, match=message):
        unpack_model(file, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.tar"]


def test_a_bomb_is_refused_by_its_headers(tmp_path: Path) -> None:
    bomb = tarfile.TarInfo("inference.pdiparams")
    bomb.size = 1 << 40
    file = tmp_path / "model.tar"
    file.write_bytes(bomb.tobuf() + b"\0" * 1024)
    with pytest.raises(ModelError, match="500 MB"):
        unpack_model(file, tmp_path / "out")
    many = [(f"file{number}", b"") for number in range(120)]
    file.write_bytes(archive(*many))
    with pytest.raises(ModelError, match="one too many"):
        unpack_model(file, tmp_path / "out")


@pytest.mark.parametrize("kept", [100, 512, 40_000, 306_000])
def test_a_truncated_archive_is_refused(kept: int, tmp_path: Path) -> None:
    file = tmp_path / "model.tar"
    file.write_bytes(archive()[:kept])
    with pytest.raises(ModelError):
        unpack_model(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "data", [b"", b"<html>not found</html>" * 100, b"\x1f\x8b" + b"\0" * 600, b"\xff" * 2048]
)
def test_what_is_no_tar_is_refused(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.tar"
    file.write_bytes(data)
    with pytest.raises(ModelError):
        unpack_model(file, tmp_path / "out")


def test_an_archive_without_weights_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.tar"
    file.write_bytes(archive(("a/inference.pdmodel", GRAPH), official=False))
    with pytest.raises(ModelError, match="no inference model"):
        unpack_model(file, tmp_path / "out")
