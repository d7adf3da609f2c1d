"""Truth files: what is read, and what is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import InputError
from monitor.presence.metrics import Span
from monitor.presence.truth import read_truth


def test_clips_are_read_and_notes_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "timeline.json"
    path.write_text(
        '{"_note": "by eye", "a.mp4": {"dur": 10, "fps": 30, "someone": [[1, 2.5]]},'
        ' "b.mp4": {"dur": 3.5, "someone": []}}'
    )
    truth = read_truth(path)
    assert list(truth) == ["a.mp4", "b.mp4"]
    assert truth["a.mp4"].spans() == [Span(1.0, 2.5)]
    assert (truth["b.mp4"].dur, truth["b.mp4"].spans()) == (3.5, [])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ('{"a.mp4": 3}', "a.mp4: "),
        ('{"a.mp4": {"someone": []}}', "a.mp4 → dur"),
        ('{"a.mp4": {"dur": 0, "someone": []}}', "a.mp4 → dur"),
        ('{"a.mp4": {"dur": 9, "someone": [[1]]}}', "a.mp4 → someone → 0"),
        ('{"a.mp4": {"dur": 9, "someone": [[3, 1]]}}', r"a.mp4: a span cannot end \(1.0\) before"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "timeline.json"
    path.write_text(text)
    with pytest.raises(InputError, match=what) as caught:
        read_truth(path)
    assert caught.value.where == str(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_truth(tmp_path / "none.json")
