"""Truth files: when somebody really is in a recording, as JSON.

    {"clip.mp4": {"dur": 42.8, "someone": [[0.7, 4.1], [10.2, 15.6]]}}

Seconds of media time. Names that start with `_` are notes; further keys are left alone.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from monitor.errors import InputError
from monitor.presence.metrics import Span


class ClipTruth(BaseModel):
    """Truth about one recording: its length and the spans in which somebody is visible."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    dur: float = Field(gt=0.0)
    someone: list[tuple[float, float]]

    def spans(self) -> list[Span]:
        """The visits. Raises ValueError for one that ends before it starts."""
        return [Span(start, end) for start, end in self.someone]


def read_truth(path: Path) -> dict[str, ClipTruth]:
    """The truth of every clip named in the file. Raises InputError if it cannot be used."""
    remedy = 'write {"clip.mp4": {"dur": 42.8, "someone": [[0.7, 4.1]]}}, seconds'
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = error.strerror or "cannot be read"
        raise InputError(what, where=str(path), remedy="check the path") from error
    except ValueError as error:
        raise InputError(f"is no JSON: {error}", where=str(path), remedy=remedy) from error
    if not isinstance(raw, dict):
        raise InputError("holds no JSON object", where=str(path), remedy=remedy)
    clips = {name: clip for name, clip in raw.items() if not name.startswith("_")}
    try:
        truth = TypeAdapter(dict[str, ClipTruth]).validate_python(clips)
        for name, clip in truth.items():
            _check(name, clip)
    except ValidationError as error:
        first = error.errors()[0]
        place = " → ".join(str(part) for part in first["loc"])
        raise InputError(f"{place}: {first['msg']}", where=str(path), remedy=remedy) from error
    except ValueError as error:
        raise InputError(str(error), where=str(path), remedy=remedy) from error
    return truth


def _check(name: str, clip: ClipTruth) -> None:
    try:
        clip.spans()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
