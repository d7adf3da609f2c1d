"""Explaining: the sentences say what the machine did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.errors import ConfigError, InputError
from monitor.presence.arrival import WEIGHED, Evidence
from monitor.presence.metrics import Span
from monitor.review.explain import (
    Explanation,
    explain,
    found_events,
    noted_evidence,
    settings_in_force,
)
from monitor.review.explain_plot import draw
from monitor.review.patch import apply_patch, merged_config, patch_of, to_yaml
from monitor.review.simulate import simulate
from monitor.review.trace import BLIND, HELD_ENTRIES, HELD_EXITS, RECORDED, Trace

HERE = PresenceConfig(smoothing=0.0)


def made(*parts: tuple[float, float]) -> Trace:
    """Five scores a second: (seconds, score) after each other."""
    score = np.concatenate([np.full(round(seconds * 5), value) for seconds, value in parts])
    return Trace("made", RECORDED, np.arange(score.size) / 5.0, score)


VISIT = made((10.0, 0.1), (0.4, 0.9), (5.0, 0.1), (4.0, 0.9), (2.0, 0.1), (3.0, 0.8), (20.0, 0.1))


def explained(config: PresenceConfig = HERE, trace: Trace = VISIT) -> Explanation:
    [event] = simulate(trace, config)
    return explain(trace, config, event)


def test_the_story_of_a_visit() -> None:
    found = explained()
    assert found.agrees
    assert [(round(line.at, 1), line.text.split(":")[0].split(",")[0]) for line in found.lines] == [
        (10.0, "not enough"),
        (15.4, "first evidence"),
        (15.4, "the average 0.900 reaches enter_threshold 0.7"),
        (15.4, "highest score 0.900; mean of 45"),
        (16.0, "confirmed"),
        (19.4, "once the average fell below exit_threshold 0.4"),
        (24.2, "last evidence; the event ends here"),
        (24.4, "the average 0.100 falls below exit_threshold 0.4"),
        (29.4, "confirmed"),
    ]
    texts = " ".join(line.text for line in found.lines)
    assert "2 hits over 0.2 s, score up to 0.900, 3 hits over 600ms needed" in texts
    assert "less than exit_after 5s" in texts


def test_mode_evidence_speaks_of_beliefs() -> None:
    config = PresenceConfig(mode=PresenceMode.EVIDENCE)
    texts = " ".join(line.text for line in explained(config).lines)
    assert "the belief" in texts
    assert "enter_belief 0.9" in texts


def test_a_run_that_tells_something_else_says_so() -> None:
    [event] = simulate(VISIT, HERE)
    late = Span(event.start, event.end, event.start + 9.0)
    assert not explain(VISIT, HERE, late).agrees
    blind = explain(VISIT, PresenceConfig(enter_threshold=0.99), event)
    assert not blind.agrees
    assert "nothing is told here" in blind.lines[-1].text


def test_the_parts_of_what_a_faint_score_counts_for_are_told() -> None:
    faint = made((10.0, 0.02), (5.0, 0.4), (20.0, 0.02))
    noted = Evidence(odds=-0.4, gain=4.5, level=-3.9, spread=0.5, changed=0.05)
    counted = np.where((faint.at >= 10.0) & (faint.at < 15.0), noted.counts, faint.score)
    trace = replace(faint, counted=counted)
    [event] = found_events(trace, HERE)
    assert event.confirmed is not None
    trace = trace.noted(noted, event.confirmed)
    found = explain(trace, HERE, event)
    assert found.agrees
    assert not found_events(faint, HERE)
    [weighed] = [line.text for line in found.lines if "counts for" in line.text]
    assert "score 0.400 counts for 0.98" in weighed
    assert "7.0 spreads above the empty zone's -3.90 (spread 0.50)" in weighed
    assert "5.0% of the picture" in weighed
    assert faint.part(0.0, 5.0).counted is None
    assert [each for each in trace.part(10.0, 12.0).weighed if each] == [noted]


def test_what_a_stored_event_noted_of_its_evidence() -> None:
    noted = Evidence(odds=-0.4, gain=4.5, level=-3.9, spread=0.5, changed=0.05)
    stored = {**HERE.model_dump(mode="json"), WEIGHED: noted.noted()}
    assert noted_evidence(stored) == noted
    assert settings_in_force(stored) == HERE
    assert noted_evidence({}) is None
    assert noted_evidence({WEIGHED: {"of another": "version"}}) is None


def test_settings_of_other_versions_are_read() -> None:
    stored = HERE.model_dump(mode="json") | {"of_tomorrow": 1}
    stored["evidence"]["also"] = 2
    assert settings_in_force(stored) == HERE
    with pytest.raises(InputError, match="cannot be read"):
        settings_in_force({"enter_threshold": 7})


def test_it_can_be_drawn(tmp_path: Path) -> None:
    draw([explained()], ["one"], tmp_path / "deep" / "why.png")
    assert (tmp_path / "deep" / "why.png").read_bytes().startswith(b"\x89PNG")


SITE = """\
# Our site.
defaults:
  presence: {exit_after: 7s}  # people linger
cameras:
  dock:
    source: {url: "rtsp://user:${SITE_SECRET}@host/stream"}
    presence:
      enter_threshold: 0.7    # by feel
  yard:
    source: {url: clip.mp4}
    zones:
      gate: {polygon: [[0, 0], [1, 0], [1, 1]]}
"""


def test_a_patch_goes_into_the_file_and_nothing_else_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_SECRET", "s3cret")
    file = tmp_path / "site.yaml"
    file.write_text(SITE)
    config = merged_config(file, {})
    keys = {"mode": "plain", "enter_threshold": 0.9, "exit_threshold": 0.8}
    patch = patch_of("dock", config.cameras["dock"], {"frame": keys})
    assert merged_config(file, patch).cameras["dock"].presence.exit_threshold == 0.8
    before = apply_patch(file, patch)
    assert before.read_text() == SITE
    text = file.read_text()
    assert "# Our site." in text
    assert "# people linger" in text
    assert "${SITE_SECRET}" in text
    assert "s3cret" not in text
    patched = merged_config(file, {}).cameras["dock"].presence
    assert (patched.enter_threshold, patched.exit_threshold, patched.exit_after) == (0.9, 0.8, 7.0)
    zoned = patch_of("yard", config.cameras["yard"], {"gate": keys})
    assert zoned["cameras"]["yard"]["zones"]["gate"]["presence"] == keys
    apply_patch(file, zoned)
    assert merged_config(file, {}).cameras["yard"].zones["gate"].presence.enter_threshold == 0.9
    assert "# why" in to_yaml(patch, "why")


def test_what_guards_held_back_is_said_and_waited_for() -> None:
    lit = np.where((VISIT.at >= 15.0) & (VISIT.at < 18.0), HELD_ENTRIES | HELD_EXITS, 0)
    trace = replace(VISIT, sight=lit.astype(np.uint8))
    [event] = simulate(trace, HERE)
    assert event.confirmed == pytest.approx(18.0)
    found = explain(trace, HERE, event)
    assert found.agrees
    said = [line.text for line in found.lines]
    assert "scene guards, for 2.8 s: entries and exits are not confirmed" in said
    [confirmed] = [line.at for line in found.lines if line.text.startswith("confirmed: 1")]
    assert confirmed == pytest.approx(18.0)


def test_an_event_of_a_glance_starts_before_its_first_evidence_and_says_so() -> None:
    at = np.array([*np.arange(0.0, 21.0, 2.0), *np.arange(20.2, 24.0, 0.2), *range(24, 40)])
    score = np.where((at >= 20.0) & (at < 25.0), 0.9, 0.1)
    trace = Trace("glances", RECORDED, at, score)
    [event] = found_events(trace, HERE)
    assert event.start == pytest.approx(19.0)
    lines = {line.text: line.at for line in explain(trace, HERE, event).lines}
    said = (
        "first evidence: score 0.900; the event starts 1.0 s before, midway from the look before it"
    )
    assert lines[said] == 20.0


def test_a_blind_camera_says_so() -> None:
    covered = np.where(VISIT.at >= 17.0, BLIND | HELD_EXITS, 0).astype(np.uint8)
    trace = replace(VISIT, sight=covered)
    [event] = simulate(trace, HERE)
    found = explain(trace, HERE, event)
    assert found.closed is not None
    assert any("the picture shows nothing" in line.text for line in found.lines)


def test_a_patch_that_makes_no_sense_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_SECRET", "s3cret")
    file = tmp_path / "site.yaml"
    file.write_text(SITE)
    wrong = {"cameras": {"dock": {"presence": {"exit_threshold": 0.95}}}}
    with pytest.raises(ConfigError):
        merged_config(file, wrong)
    with pytest.raises(ConfigError, match="would not be good"):
        apply_patch(file, wrong)
    assert file.read_text() == SITE
    assert [path.name for path in tmp_path.iterdir()] == ["site.yaml"]
