"""The model card: `model.json`, what a model is, how to use it, how good it is, what it is made of.

Read at run time: `labels` and `thresholds.default` (monitor.inference.model). Read by
`model verify`: `files`. The rest is for people.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from monitor.errors import InputError, UsageError
from monitor.imaging.preprocess import MEAN, RESIZE_SHORT, SCALE, SIDE, STD
from monitor.inference.model import DEFAULT_LABELS

CARD: Final = "model.json"

PROSE: Final = frozenset({"description", "data", "limits", "licence", "recipe", "intended_use"})
"""Keys that people write about a model, in the file given as `--about`."""

KEPT_METRICS: Final = (
    "list",
    "view",
    "weights_sha256",
    "n_pos",
    "n_neg",
    "auroc",
    "ap",
    "ece",
    "ci95",
    "operating_points",
    "by_size",
    "by_source",
)
"""What of an evaluation's report goes into the card."""

Card = dict[str, Any]


def describe(
    *,
    name: str,
    version: str,
    arch: str,
    threshold: float,
    evaluations: Iterable[Mapping[str, Any]] = (),
    about: Mapping[str, Any] | None = None,
) -> Card:
    """A card without its `files`, which are not written yet.

    `thresholds.by_view` holds, for each evaluated view, the threshold of each FPR. Raises
    UsageError when two evaluations are of the same list and view.
    """
    reports = list(evaluations)
    _refuse_twins(reports)
    return {
        "name": name,
        "version": version,
        "architecture": arch,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "labels": list(DEFAULT_LABELS),
        "input": {"name": "x", "shape": [-1, 3, SIDE, SIDE], "dtype": "float32", "colour": "RGB"},
        "output": "softmax over the labels, float32 (n, 2)",
        "preprocessing": {
            "resize_short": RESIZE_SHORT,
            "interpolation": "linear",
            "crop": SIDE,
            "scale": float(f"{SCALE:.9g}"),
            "mean": [float(f"{value:.6g}") for value in MEAN],
            "std": [float(f"{value:.6g}") for value in STD],
            "note": "view pulc; the other views put the whole picture into the same square",
        },
        "thresholds": {
            "default": threshold,
            "rule": "a score below the threshold is nobody (ThreshOutput)",
            "by_view": _thresholds(reports),
        },
        "metrics": [
            {key: report[key] for key in KEPT_METRICS if report.get(key)} for report in reports
        ],
        **(about or {}),
    }


def read_about(file: Path) -> Card:
    """The prose of a card from a JSON file. Raises InputError for other keys than `PROSE`."""
    about = read_json(file)
    unknown = sorted(set(about) - PROSE)
    if unknown:
        raise InputError(
            f"unknown keys: {', '.join(unknown)}",
            where=str(file),
            remedy=f"write about {', '.join(sorted(PROSE))}",
        )
    return about


def read_evaluation(file: Path) -> Card:
    """A report of `model evaluate`. Raises InputError if the file is none."""
    report = read_json(file)
    lacking = {"view", "auroc", "operating_points", "n_pos", "n_neg"} - set(report)
    if lacking:
        raise InputError(
            f"is no report of an evaluation: it lacks {', '.join(sorted(lacking))}",
            where=str(file),
            remedy="give the report.json or JSON output of `model evaluate`",
        )
    return report


def read_json(file: Path) -> Card:
    """The JSON object in a file. Raises InputError if there is none."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from None
    except ValueError as error:
        raise InputError(f"is no JSON: {error}", where=str(file)) from None
    if not isinstance(value, dict):
        raise InputError("holds no JSON object", where=str(file))
    return value


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 in hex of those of the named files that exist."""
    return {name: sha256_of(folder / name) for name in names if (folder / name).is_file()}


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _thresholds(reports: list[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The first evaluation of a view decides: later lists are for comparison."""
    by_view: dict[str, dict[str, float]] = {}
    for report in reports:
        points = {
            f"fpr_{point['max_fpr']:g}": float(point["threshold"])
            for point in report["operating_points"]
        }
        by_view.setdefault(str(report["view"]), points)
    return by_view


def _refuse_twins(reports: list[Mapping[str, Any]]) -> None:
    seen = set()
    for report in reports:
        key = report.get("list"), report["view"]
        if key in seen:
            raise UsageError(
                f"two evaluations are of list {key[0]} and view {key[1]}",
                remedy="give each --metrics once",
            )
        seen.add(key)
