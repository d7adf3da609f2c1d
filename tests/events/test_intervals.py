"""Spans of time against sets of seconds: whatever is claimed of spans is counted out here."""

from __future__ import annotations

import itertools
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.events.intervals import (
    Span,
    by_period,
    difference,
    intersection,
    measure,
    union,
)

from .builders import NOON

SECONDS = st.integers(min_value=0, max_value=40)
ROUGH = st.lists(st.tuples(SECONDS, SECONDS), max_size=8).map(sorted)


def spans(pairs: list[tuple[int, int]]) -> list[Span]:
    return [(NOON + timedelta(seconds=a), NOON + timedelta(seconds=b)) for a, b in pairs]


def seconds(found: list[Span]) -> set[int]:
    """The whole seconds that spans hold."""
    held = set()
    for start, end in found:
        first, last = ((moment - NOON).total_seconds() for moment in (start, end))
        held |= set(range(int(first), int(last)))
    return held


def counted(pairs: list[tuple[int, int]]) -> set[int]:
    return {second for a, b in pairs for second in range(a, b)}


def tidy(found: list[Span]) -> bool:
    """In order, disjoint, none empty."""
    edges = [moment for span in found for moment in span]
    return edges == sorted(edges) and all(start < end for start, end in found)


@given(ROUGH)
def test_union(pairs: list[tuple[int, int]]) -> None:
    found = list(union(spans(pairs)))
    assert seconds(found) == counted(pairs)
    assert tidy(found)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(found))  # none touch
    assert measure(found) == timedelta(seconds=len(counted(pairs)))


@given(ROUGH, ROUGH)
def test_intersection(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    found = list(intersection(union(spans(first)), union(spans(second))))
    assert seconds(found) == counted(first) & counted(second)
    assert tidy(found)


@given(ROUGH, st.tuples(SECONDS, SECONDS).filter(lambda pair: pair[0] < pair[1]))
def test_difference(pairs: list[tuple[int, int]], whole: tuple[int, int]) -> None:
    found = list(difference(spans([whole])[0], union(spans(pairs))))
    assert seconds(found) == set(range(*whole)) - counted(pairs)
    assert tidy(found)


@given(ROUGH, st.lists(SECONDS, min_size=2, max_size=7, unique=True).map(sorted))
def test_by_period(pairs: list[tuple[int, int]], edges: list[int]) -> None:
    periods = list(itertools.pairwise(edges))
    found = list(by_period(spans(periods), union(spans(pairs))))
    assert len(found) == len(periods)
    for (begin, end), parts in zip(periods, found, strict=True):
        assert seconds(parts) == counted(pairs) & set(range(begin, end))
        assert tidy(parts)
