"""Calibration: within the budget, honest about what the hours prove."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.errors import InputError, UsageError
from monitor.presence.metrics import Span
from monitor.review.budget import parse_budget, prove, tail_of
from monitor.review.calibrate import calibrate, changed_keys, suspects
from monitor.review.families import Limits, plain_families
from monitor.review.fit import fit, labelled
from monitor.review.report import as_tree, sentences, warnings
from monitor.review.simulate import apply_calibration, simulate
from monitor.review.trace import odds_of
from monitor.review.trial import weight

from .traces import noise, trace

VISITS = (Span(40.0, 60.0), Span(100.0, 115.0), Span(150.0, 190.0))
BURSTS = tuple(Span(at, at + 1.2) for at in np.arange(60.0, 1200.0, 120.0).tolist())


@pytest.mark.parametrize(
    ("text", "one_in"), [("1/week", 604800.0), ("2/day", 43200.0), ("0.5 / hours", 7200.0)]
)
def test_budgets_are_read(text: str, one_in: float) -> None:
    assert parse_budget(text).one_in == one_in


@pytest.mark.parametrize("text", ["never", "0/week", "1", "1/fortnight", "-1/day"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no budget"):
        parse_budget(text)


def test_nine_hours_without_a_false_event_bound_the_rate_at_56_a_week() -> None:
    proof = prove(0, 9 * 3600.0, parse_budget("1/week"))
    assert proof.bound == pytest.approx(55.9, abs=0.1)
    assert not proof.proven
    assert proof.hours_to_prove == pytest.approx(503.3, abs=0.1)
    assert prove(0, 504 * 3600.0, parse_budget("1/week")).proven
    assert not prove(1, 504 * 3600.0, parse_budget("1/week")).proven


def test_a_false_event_that_lasts_counts_again() -> None:
    made = trace(noise(1000.0, 1), (Span(50.0, 52.0), Span(100.0, 760.0)))
    assert weight(simulate(made, PresenceConfig())) == 1 + 1 + 2


def test_the_tail_goes_on_as_it_was_seen() -> None:
    levels = np.arange(0.0, 6.0, 0.25)
    runs = np.floor(1000.0 * np.exp(-levels / 0.8)).astype(np.int64)
    tail = tail_of(levels, runs, watched_s=3600.0)
    assert tail.scale == pytest.approx(0.8, rel=0.25)
    assert tail.rate(8.0) == pytest.approx(1000.0 * np.exp(-10.0) / 3600.0, rel=2.0)
    nothing = tail_of(levels, np.zeros(levels.size, np.int64), watched_s=600.0)
    assert nothing.rate(0.0) == 1 / 600.0
    assert nothing.rate(7.0) < 1 / 600.0 / 1000.0


def test_bursts_are_left_out_and_visits_found() -> None:
    negatives = [trace(noise(1200.0, 2), BURSTS, lift=5.0)]
    positives = [trace(noise(240.0, 3), VISITS)]
    base = PresenceConfig()
    assert len(simulate(negatives[0], base)) >= 5
    negatives = [trace(noise(1200.0, 2), BURSTS, lift=5.0)]
    empty = type(negatives[0])("n", negatives[0].start, negatives[0].at, negatives[0].score)
    steps: list[int] = []
    result = calibrate("frame", base, [empty], positives, parse_budget("2/hour"), tell=steps.append)
    assert result.after is not None
    assert result.after.proof.false_events == 0
    assert result.after.trial.visits.recall == 1.0
    assert result.before.proof.false_events >= 5
    assert result.fit is not None
    assert result.fit.auroc > 0.98
    assert result.patch == changed_keys(result.after.settings)
    assert steps[0] > 20
    tree = as_tree(result)
    assert tree["after"]["false_rate_bound_95"] == pytest.approx(3.0 * 3.0, rel=0.02)
    assert not tree["proven"]
    assert any("does not prove 2/hour" in line for line in warnings(result))


def test_short_footage_makes_cautious() -> None:
    quiet = [trace(noise(300.0, 4, spread=0.5))]
    strict = calibrate("frame", PresenceConfig(), quiet, [], parse_budget("1/day"))
    loose = calibrate("frame", PresenceConfig(), quiet, [], parse_budget("1/hour"))
    assert strict.made_up
    assert strict.after is not None
    assert loose.after is not None
    assert strict.after.settings.mode is PresenceMode.PLAIN  # nothing to fit evidence on
    told = [each.after.trial.visits.recall or 0.0 for each in (strict, loose) if each.after]
    assert told[0] <= told[1]
    assert strict.after.settings.enter_threshold > loose.after.settings.enter_threshold


def test_nothing_keeps_a_budget_where_somebody_stays_in_the_negatives() -> None:
    there = trace(noise(600.0, 11), (Span(100.0, 500.0),), lift=16.0)
    found = calibrate("frame", PresenceConfig(), [there], [], parse_budget("1/hour"))
    assert found.after is None
    assert not found.keeps_budget
    assert not as_tree(found)["keeps_budget"]
    assert list(sentences(found)) == ["no setting that was tried keeps 1/hour and finds anybody"]


def test_zones_share_a_budget_and_say_so() -> None:
    share = parse_budget("1/week").split(4)
    assert (share.text, share.unit) == ("0.25/week", "week")
    assert share.rate * 4 == parse_budget("1/week").rate


def test_negatives_without_scores_are_refused() -> None:
    with pytest.raises(InputError, match="no scores"):
        calibrate("frame", PresenceConfig(), [trace(np.zeros(0))], [], parse_budget("1/day"))


def test_persons_in_negatives_are_suspected() -> None:
    made = trace(noise(200.0, 5), (Span(50.0, 60.0),))
    [found] = suspects(made, PresenceConfig())
    assert found.start == pytest.approx(50.0, abs=1.0)
    assert suspects(trace(noise(200.0, 5)), PresenceConfig()) == []


def test_the_fit_mends_scores_that_are_too_shy() -> None:
    shy = trace(noise(600.0, 6, mean=-5.0), (Span(100.0, 300.0),), lift=3.5)
    data = labelled([shy])
    found = fit(data)
    best = found.quality[found.kind]
    assert best.log_loss < found.quality["as_is"].log_loss
    assert best.ece < found.quality["as_is"].ece
    meant = apply_calibration(data.score, found.calibration)
    assert np.median(meant[data.label == 1]) > 0.9
    assert np.median(meant[data.label == 0]) < 0.1
    rank = np.argsort(data.score)
    assert (np.diff(meant[rank]) >= 0.0).all()


def test_history_judges_no_threshold_below_its_doubts() -> None:
    families = plain_families(PresenceConfig(), Limits(lowest_enter=0.4, highest_exit=0.7))
    chosen = [each for family in families for each in family]
    assert min(each.enter_threshold for each in chosen) >= 0.4
    assert max(each.exit_threshold for each in chosen) <= 0.7
    for family in families:
        levels = odds_of(np.array([each.enter_threshold for each in family]))
        assert (np.diff(levels) > 0.0).all()
        for each in family:
            PresenceConfig.model_validate(each.model_dump())
