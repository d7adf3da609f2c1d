"""The spool: durable, in order, and honest about what it cannot read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import Stamp
from monitor.events.apply import Message
from monitor.events.spool import Spool, decode, encode
from monitor.messages import EndReason, PresenceState, Progress, Summary, Transition

from .builders import JPEG, closing, opening, progress

stamps = st.builds(
    Stamp,
    st.floats(0, 1e9),
    st.datetimes(timezones=st.timezones())
    .filter(lambda moment: 1 < moment.year < 9999)  # the local zone may shift it by a day
    .map(lambda moment: moment.astimezone(tz=None)),
)
summaries = st.builds(Summary, st.floats(0, 1), st.floats(0, 1), st.integers(0, 10**6))
pictures = st.none() | st.binary(max_size=64)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
progresses = st.builds(Progress, st.uuids(), st.text(), st.text(), stamps, summaries, pictures)
transitions = st.builds(
    Transition,
    st.text(),
    st.text(),
    st.sampled_from(PresenceState),
    st.sampled_from(PresenceState),
    stamps,
    stamps,
    st.none() | st.uuids(),
    st.none() | summaries,
    st.none() | st.sampled_from(EndReason),
    pictures,
    st.dictionaries(st.text(), json_values),
    st.text(),
)


@settings(deadline=None)
@given(message=st.one_of(progresses, transitions))
def test_a_message_comes_back_equal(message: Message) -> None:
    assert decode(encode(message)) == message


def story() -> list[Message]:
    event_id = uuid4()
    return [
        opening(event_id, snapshot=JPEG),
        progress(event_id, 5, snapshot=b""),
        replace(closing(event_id, 9), camera="Tür-Süd"),
    ]


def test_messages_survive_the_process_in_order(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "events.spool"
    first, second = story(), story()
    spool = Spool(path)
    assert spool.pending == 0
    spool.append(first)
    spool.append(second)
    again = Spool(path)
    assert again.pending == 6
    assert again.cut == 0
    assert list(again.read()) == first + second


def test_clearing_forgets(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "events.spool")
    spool.append(story())
    spool.clear()
    assert spool.pending == 0
    assert Spool(tmp_path / "events.spool").pending == 0
    spool.append(later := story())
    assert list(Spool(tmp_path / "events.spool").read()) == later


def test_any_truncation_keeps_the_whole_records_before_it(tmp_path: Path) -> None:
    path = tmp_path / "events.spool"
    messages = story()
    ends = [0]
    spool = Spool(path)
    for message in messages:
        spool.append([message])
        ends.append(path.stat().st_size)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        (tmp_path / "events.spool.damaged").unlink(missing_ok=True)
        opened = Spool(path)
        expected = sum(end <= size for end in ends[1:])
        assert opened.pending == expected
        assert opened.cut == size - ends[expected]
        assert list(opened.read()) == messages[:expected]


@settings(deadline=None, max_examples=40)
@given(where=st.integers(min_value=0), value=st.integers(1, 255))
def test_any_flipped_byte_is_noticed_and_the_rest_kept_aside(
    tmp_path_factory: pytest.TempPathFactory, where: int, value: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "events.spool"
    messages = story()
    ends = []
    spool = Spool(path)
    for message in messages:
        spool.append([message])
        ends.append(path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[where % len(data)] ^= value
    path.write_bytes(data)
    opened = Spool(path)
    hurt = sum(end <= where % len(data) for end in ends)
    assert opened.pending == hurt
    assert list(opened.read()) == messages[:hurt]
    assert path.with_name("events.spool.damaged").read_bytes() == bytes(data[opened_size(path) :])


def opened_size(path: Path) -> int:
    return path.stat().st_size


def test_appending_goes_on_after_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "events.spool"
    first, second = story(), story()
    Spool(path).append(first)
    with path.open("ab") as file:
        file.write(b"PSP1 torn by a crash")
    spool = Spool(path)
    assert spool.cut == 20
    spool.append(second)
    assert list(Spool(path).read()) == first + second


def test_a_failed_append_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.spool"
    spool = Spool(path)
    first = story()
    spool.append(first)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            spool.append(story())
    assert spool.pending == 3
    assert list(Spool(path).read()) == first
