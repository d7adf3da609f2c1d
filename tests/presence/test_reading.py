"""The two ways of reading scores, by hand and against a filter in plain probabilities."""

from __future__ import annotations

from math import exp, log, tanh

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.config.presence import EvidenceConfig, PresenceConfig, PresenceMode
from monitor.presence.reading import Reading, read, thresholds

EVIDENCE = EvidenceConfig(
    enter_belief=0.95,
    exit_belief=0.05,
    usual_stay=60.0,
    usual_absence=600.0,
    correlation=0.5,
    strongest=0.99,
)
BELIEVE = PresenceConfig(mode=PresenceMode.EVIDENCE, evidence=EVIDENCE)


def believe(
    scores: list[tuple[float, float]], config: PresenceConfig = BELIEVE, *, occupied: bool = False
) -> Reading:
    """Read (elapsed, score) pairs."""
    reading: Reading | None = None
    for elapsed, score in scores:
        reading = read(score, reading, elapsed, occupied=occupied, settings=config)
    assert reading is not None
    return reading


def test_the_first_score_weighs_fully_against_what_is_usual() -> None:
    # Usual odds 60 : 600, a score of 0.8 multiplies them by 4.
    assert believe([(0.0, 0.8)]).level == pytest.approx(0.4 / 1.4)


def test_the_next_score_is_discounted_and_the_belief_drifts() -> None:
    usual, first = 1 / 11, 0.4 / 1.4
    prior = usual + (first - usual) * exp(-0.2 * (1 / 60 + 1 / 600))
    odds = prior / (1 - prior) * (0.9 / 0.1) ** tanh(0.2)
    got = believe([(0.0, 0.8), (0.2, 0.9)])
    assert got.level == pytest.approx(odds / (1 + odds))
    assert got.drift == pytest.approx(log(4) + tanh(0.2) * log(9))


def test_one_picture_never_counts_for_more_than_the_strongest() -> None:
    assert believe([(0.0, 1.0)]).level == believe([(0.0, 0.99)]).level
    assert believe([(0.0, 0.0)]).level == believe([(0.0, 0.01)]).level
    assert not believe([(0.0, 1.0)]).hit


def test_without_news_the_belief_returns_to_what_is_usual() -> None:
    sure = [(0.2, 0.99)] * 20
    assert believe([*sure, (0.2, 0.5)]).level > 0.99
    assert believe([*sure, (10_000.0, 0.5)]).level == pytest.approx(1 / 11)


def test_near_identical_frames_are_not_as_many_proofs() -> None:
    """A second of doubtful scores weighs the same in 5 frames as in 25, and less than 25."""
    few = believe([(0.0, 0.5), *[(1 / 5, 0.7)] * 5])
    many = believe([(0.0, 0.5), *[(1 / 25, 0.7)] * 25])
    assert few.level == pytest.approx(many.level, abs=0.01)
    independent = BELIEVE.model_copy(
        update={"evidence": EVIDENCE.model_copy(update={"correlation": 0.0})}
    )
    assert believe([(0.0, 0.5), *[(1 / 25, 0.7)] * 25], independent).level > 0.99 > many.level


def test_a_rise_begins_where_the_evidence_was_lowest() -> None:
    low = [(0.0, 0.1), (0.2, 0.1)]
    assert not believe(low).rising
    assert believe([*low, (0.2, 0.7)]).rising
    assert believe([*low, (0.2, 0.7), (0.2, 0.45)]).rising
    assert not believe([*low, (0.2, 0.7), (0.2, 0.2)]).rising


def test_somebody_is_present_until_the_evidence_declines() -> None:
    here = [(0.0, 0.9), (0.2, 0.9)]
    assert believe(here, occupied=True).present
    assert not believe([*here, (0.2, 0.3)], occupied=True).present
    assert believe([*here, (0.2, 0.3), (0.2, 0.8)], occupied=True).present


def test_a_fall_does_not_use_up_the_rise_before_it_nor_a_rise_the_fall() -> None:
    arrived = believe([(0.0, 0.9), (0.2, 0.9)])
    falling = read(0.2, arrived, 0.2, occupied=True, settings=BELIEVE)
    assert falling.drift == pytest.approx(-tanh(0.2) * log(4))
    gone = believe([(0.0, 0.1), (0.2, 0.1)], occupied=True)
    rising = read(0.8, gone, 0.2, occupied=False, settings=BELIEVE)
    assert rising.drift == pytest.approx(tanh(0.2) * log(4))


def test_each_score_of_a_rise_is_present_only_by_itself() -> None:
    assert believe([(0.0, 0.7)]).present
    assert not believe([(0.0, 0.9), (0.2, 0.4)]).present


def test_nobody_is_present_while_the_belief_is_clear() -> None:
    wide = EVIDENCE.model_copy(update={"exit_belief": 0.3})
    config = PresenceConfig(mode=PresenceMode.EVIDENCE, evidence=wide)
    reading = believe([(0.0, 0.5)], config, occupied=True)
    assert (reading.drift, reading.clear, reading.present) == (0.0, True, False)


def test_each_mode_has_its_thresholds() -> None:
    assert thresholds(BELIEVE) == (0.95, 0.05)
    assert thresholds(PresenceConfig()) == (0.7, 0.4)


def test_beliefs_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"exit_belief 0\.96 is not below enter_belief"):
        EvidenceConfig(exit_belief=0.96)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 60.0), st.floats(0.01, 0.99)), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.5, 30.0]),
)
def test_the_belief_is_that_of_a_two_state_filter(
    scores: list[tuple[float, float]], correlation: float
) -> None:
    """The textbook form: predict with the chain's transition matrix, weigh, normalise."""
    evidence = EVIDENCE.model_copy(update={"correlation": correlation})
    config = PresenceConfig(mode=PresenceMode.EVIDENCE, evidence=evidence)
    leave, come = 1 / 60.0, 1 / 600.0
    someone = 60 / 660
    for i, (elapsed, score) in enumerate(scores):
        worth = 1.0
        if i > 0:
            fade = 1 - exp(-(leave + come) * elapsed)
            stays = 1 - fade * leave / (leave + come)
            comes = fade * come / (leave + come)
            someone = someone * stays + (1 - someone) * comes
            worth = tanh(elapsed / (2 * correlation)) if correlation else 1.0
        yes, no = someone * score**worth, (1 - someone) * (1 - score) ** worth
        someone = yes / (yes + no)
    assert believe(scores, config).level == pytest.approx(someone, abs=1e-9)
