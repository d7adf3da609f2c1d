"""The metrics against hand-computed cases, a brute-force oracle and scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from monitor.training.metrics import (
    TprAtFpr,
    allowed_false_positives,
    auroc,
    average_precision,
    bootstrap_intervals,
    calibration_error,
    pr_curve,
    rates_at,
    roc_curve,
    tpr_at_fpr,
)


def grid_search(scores: NDArray[np.floating], labels: list[int], max_fpr: float) -> TprAtFpr | None:
    """The definition, word by word: try 10,000 thresholds, keep the first with the best TPR."""
    positives = scores[np.array(labels) != 0]
    negatives = scores[np.array(labels) == 0]
    best = None
    for step in range(10_000):
        threshold = step / 10_000.0
        tpr = np.sum(positives > threshold) / len(positives)
        fpr = np.sum(negatives > threshold) / len(negatives) if len(negatives) else 0.0
        if fpr <= max_fpr and tpr > (best.tpr if best else 0.0):
            best = TprAtFpr(threshold, float(fpr), float(tpr))
    return best


any_score = st.one_of(
    st.floats(0.0, 1.0),
    st.integers(0, 10_000).map(lambda step: step / 10_000),
    st.sampled_from([0.0, 1.0, 0.9999, 0.99995, 0.5, np.nextafter(0.5, 1.0)]),
)
labelled = st.lists(st.tuples(any_score, st.integers(0, 1)), min_size=1, max_size=60)
rates = st.sampled_from([0.0, 0.001, 0.01, 0.05, 0.1, 1 / 3, 0.5, 1.0])


def all_at_once(scores: NDArray[np.floating], labels: list[int], max_fpr: float) -> TprAtFpr | None:
    """The same search as one table of 10,000 thresholds by pictures: quicker, as plain."""
    grid = np.arange(10_000) / 10_000.0
    above = scores[None, :] > grid.astype(scores.dtype)[:, None]
    truth = np.array(labels) != 0
    tpr = above[:, truth].mean(axis=1)
    fpr = above[:, ~truth].mean(axis=1) if not truth.all() else np.zeros(10_000)
    best = int(np.argmax(np.where(fpr <= max_fpr, tpr, 0.0)))
    if fpr[best] > max_fpr or tpr[best] == 0.0:
        return None
    return TprAtFpr(float(grid[best]), float(fpr[best]), float(tpr[best]))


def check_against(
    oracle: Callable[[NDArray[np.floating], list[int], float], TprAtFpr | None],
    pairs: list[tuple[float, int]],
    max_fpr: float,
    dtype: type[np.floating],
) -> None:
    scores = np.array([score for score, _ in pairs], dtype)
    labels = [label for _, label in pairs]
    found = tpr_at_fpr(scores, labels, max_fpr)
    expected = oracle(scores, labels, max_fpr) if any(labels) else None
    if expected is None:
        assert found.tpr == 0.0
        assert found.fpr <= max_fpr
    else:
        assert found == expected


dtypes = st.sampled_from([np.float32, np.float64])


@given(pairs=labelled, max_fpr=rates, dtype=dtypes)
@settings(max_examples=8, deadline=None)
def test_equals_the_definition(
    pairs: list[tuple[float, int]], max_fpr: float, dtype: type[np.floating]
) -> None:
    check_against(grid_search, pairs, max_fpr, dtype)


@given(pairs=labelled, max_fpr=rates, dtype=dtypes)
@settings(max_examples=150, deadline=None)
def test_equals_the_search_over_the_grid(
    pairs: list[tuple[float, int]], max_fpr: float, dtype: type[np.floating]
) -> None:
    check_against(all_at_once, pairs, max_fpr, dtype)


def test_hand_computed_case() -> None:
    # Two of four negatives may pass: the threshold is the third highest negative, 0.30.
    scores = [0.10, 0.30, 0.6004, 0.80, 0.30, 0.31, 0.95, 0.20]
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    assert tpr_at_fpr(scores, labels, 0.5) == TprAtFpr(0.30, 0.5, 0.5)
    assert tpr_at_fpr(scores, labels, 0.25) == TprAtFpr(0.6004, 0.25, 0.25)
    assert tpr_at_fpr(scores, labels, 0.0) == TprAtFpr(0.80, 0.0, 0.25)


def test_threshold_is_strict_and_on_the_grid() -> None:
    # 0.50001 lies between two grid thresholds: the next one, 0.5001, must be taken.
    assert tpr_at_fpr([0.50001, 0.50005], [0, 1], 0.0) == TprAtFpr(0.5001, 0.0, 0.0)
    assert tpr_at_fpr([0.5, 0.50005], [0, 1], 0.0) == TprAtFpr(0.5, 0.0, 1.0)


def test_float32_scores_are_compared_as_float32() -> None:
    # float32(0.1) is greater than the double 0.1 but equal to the float32 threshold.
    assert tpr_at_fpr(np.array([0.1, 0.2], np.float32), [0, 1], 0.0).threshold == 0.1


def test_exactly_the_allowed_share_passes() -> None:
    scores = np.concatenate([np.linspace(0.0, 0.5, 999), [0.9], [0.95]])
    labels = [0] * 1000 + [1]
    assert tpr_at_fpr(scores, labels, 1e-3) == TprAtFpr(0.5, 0.001, 1.0)
    assert allowed_false_positives(25_565, 1e-3) == 25
    assert allowed_false_positives(999, 1e-3) == 0
    assert allowed_false_positives(3_000, 1e-3) == 3
    assert allowed_false_positives(0, 1e-3) == 0
    assert allowed_false_positives(7, 1.0) == 7


def test_a_class_that_is_missing() -> None:
    assert tpr_at_fpr([0.2, 0.7], [0, 0], 0.0) == TprAtFpr(0.7, 0.0, 0.0)
    assert tpr_at_fpr([0.2, 0.7], [1, 1], 0.0) == TprAtFpr(0.0, 0.0, 1.0)
    assert np.isnan(auroc([0.2, 0.7], [0, 0]))
    assert np.isnan(auroc([0.2, 0.7], [1, 1]))
    assert np.isnan(average_precision([0.2, 0.7], [0, 0]))


def test_no_threshold_is_admissible() -> None:
    assert tpr_at_fpr([1.0, 1.0], [0, 1], 0.0) == TprAtFpr(1.0, 0.0, 0.0)


def test_running_rule_includes_its_threshold() -> None:
    assert rates_at([0.5, 0.5, 0.4], [0, 1, 1], 0.5) == TprAtFpr(0.5, 1.0, 0.5)


@given(pairs=labelled)
@settings(deadline=None)
def test_areas_agree_with_scikit_learn(pairs: list[tuple[float, int]]) -> None:
    # Rounded so that scikit-learn, which merges neighbours within a float's noise, sees the ties.
    scores = np.round([score for score, _ in pairs], 3)
    labels = np.array([label for _, label in pairs])
    if labels.any():
        assert average_precision(scores, labels) == pytest.approx(
            average_precision_score(labels, scores)
        )
    if labels.any() and not labels.all():
        assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


def test_curves_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    scores = np.round(np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1), 2)
    fpr, tpr, thresholds = sklearn_roc_curve(labels, scores, drop_intermediate=False)
    roc = roc_curve(scores, labels)
    np.testing.assert_allclose([roc.x, roc.y], [fpr, tpr])
    np.testing.assert_allclose(roc.thresholds, thresholds)
    precision, recall, cuts = precision_recall_curve(labels, scores)
    pr = pr_curve(scores, labels)
    np.testing.assert_allclose(pr.x, recall[:-1][::-1])
    np.testing.assert_allclose(pr.y, precision[:-1][::-1])
    np.testing.assert_allclose(pr.thresholds, cuts[::-1])


def test_calibration_error_by_hand() -> None:
    # Two bins of [0, 1]: scores 0.2, 0.4 with no positive; 0.9, 1.0 with one.
    assert calibration_error([0.2, 0.4, 0.9, 1.0], [0, 0, 1, 0], bins=2) == pytest.approx(
        0.5 * 0.3 + 0.5 * 0.45
    )
    assert calibration_error([0.0, 1.0], [0, 1]) == 0.0


def test_bootstrap_is_seeded_and_holds_the_estimate() -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], [400, 200])
    scores = np.clip(rng.normal(0.3 + 0.4 * labels, 0.15), 0, 1)
    first = bootstrap_intervals(scores, labels, max_fpr=0.05, rounds=400, seed=3)
    again = bootstrap_intervals(scores, labels, max_fpr=0.05, rounds=400, seed=3)
    other = bootstrap_intervals(scores, labels, max_fpr=0.05, rounds=400, seed=4)
    assert first == again
    assert first != other
    estimate = tpr_at_fpr(scores, labels, 0.05).tpr
    assert first.tpr.low <= estimate <= first.tpr.high
    assert first.auroc.low <= auroc(scores, labels) <= first.auroc.high
    assert first.auroc.high - first.auroc.low < 0.05


def test_bootstrap_equals_single_measurements_of_its_resamples() -> None:
    """One resample drawn the same way and measured by the plain functions."""
    labels = np.repeat([0, 1], [40, 30])
    scores = np.round(np.random.default_rng(5).random(70), 2)
    intervals = bootstrap_intervals(scores, labels, max_fpr=0.1, rounds=1, seed=6)
    rng = np.random.default_rng(6)
    drawn = []
    for label, count in ((1, 30), (0, 40)):
        population = np.sort(scores[labels == label])[::-1]
        drawn.append(population[rng.integers(0, count, (1, count))[0]])
    resampled = np.concatenate(drawn)
    truth = np.repeat([1, 0], [30, 40])
    assert intervals.tpr.low == pytest.approx(tpr_at_fpr(resampled, truth, 0.1).tpr)
    assert intervals.auroc.low == pytest.approx(auroc(resampled, truth))
    assert intervals.average_precision.low == pytest.approx(average_precision(resampled, truth))


def test_the_official_validation_size_takes_milliseconds() -> None:
    """PaddleClas's val has 27,820 pictures; its own loop takes about half a second a call."""
    labels = np.repeat([0, 1], [25_565, 2_255])
    scores = np.random.default_rng(7).random(labels.size).astype(np.float32)
    start = time.perf_counter()
    tpr_at_fpr(scores, labels)
    assert time.perf_counter() - start < 0.2


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([], [], "no scores"),
        ([0.5], [0, 1], "one length"),
        ([0.5, float("nan")], [0, 1], "probabilities"),
        ([0.5, 1.5], [0, 1], "probabilities"),
    ],
)
def test_useless_input_is_refused(scores: list[float], labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tpr_at_fpr(scores, labels)


def test_rates_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="max_fpr"):
        tpr_at_fpr([0.1, 0.9], [0, 1], 1.5)
    with pytest.raises(ValueError, match="both classes"):
        bootstrap_intervals([0.1, 0.9], [0, 0])
