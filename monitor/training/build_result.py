"""What became of every picture of a `dataset build`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from monitor.training.build_config import Split


@dataclass(frozen=True, slots=True)
class Listed:
    """A usable picture; `label` is -1 for unlabelled ones."""

    path: Path
    label: int
    split: Split
    source: str
    digest: str
    phash: int


@dataclass(slots=True)
class Build:
    """What became of every picture, for the lists and the report."""

    root: Path
    train: list[Listed] = field(default_factory=list)
    val: list[Listed] = field(default_factory=list)
    unlabelled: list[Listed] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    small_persons: Counter[str] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    straddling: list[str] = field(default_factory=list)
    groups: int = 0
