"""Arithmetic of spans of time: pure, exact, half-open.

A span is (start, end) with start < end: it holds its start and not its end. Lists of spans are in
order of time and disjoint wherever they are taken or given, unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

Span = tuple[datetime, datetime]

NOTHING = timedelta(0)


def union(spans: Iterable[Span]) -> Iterator[Span]:
    """One span for all that touch or overlap; `spans` are in order of their start."""
    current: Span | None = None
    for start, end in spans:
        if start >= end:
            continue
        if current is None or start > current[1]:
            if current is not None:
                yield current
            current = start, end
        elif end > current[1]:
            current = current[0], end
    if current is not None:
        yield current


def intersection(first: Iterable[Span], second: Iterable[Span]) -> Iterator[Span]:
    """What both hold."""
    left, right = iter(first), iter(second)
    a, b = next(left, None), next(right, None)
    while a is not None and b is not None:
        start, end = max(a[0], b[0]), min(a[1], b[1])
        if start < end:
            yield start, end
        if a[1] <= b[1]:
            a = next(left, None)
        else:
            b = next(right, None)


def difference(whole: Span, spans: Iterable[Span]) -> Iterator[Span]:
    """What `spans` leave out of `whole`."""
    covered, end = whole
    for start, until in spans:
        if start >= end:
            break
        if start > covered:
            yield covered, start
        covered = max(covered, until)
    if covered < end:
        yield covered, end


def measure(spans: Iterable[Span]) -> timedelta:
    """How long they last together."""
    return sum((end - start for start, end in spans), NOTHING)


def by_period(periods: Iterable[Span], spans: Iterable[Span]) -> Iterator[list[Span]]:
    """For each of the `periods`, which follow each other, its parts of `spans`."""
    rest = iter(spans)
    current = next(rest, None)
    for begin, end in periods:
        parts: list[Span] = []
        while current is not None and current[0] < end:
            if current[1] > begin:
                parts.append((max(current[0], begin), min(current[1], end)))
            if current[1] > end:
                break
            current = next(rest, None)
        yield parts
