"""The self-test of a predictor: it must score the golden pictures as recorded, or not serve.

PaddleClas issue 3335: a demo scored all zeros without an error. Paddle issues 44567, 52336:
oneDNN kernels gave wrong results. So scores are compared with those recorded beside the model,
and with a second predictor that computes with Paddle's plain kernels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.config.camera import ViewKind
from monitor.config.inference import Precision
from monitor.errors import ModelError
from monitor.imaging.jpeg import read_picture
from monitor.imaging.preprocess import SIDE
from monitor.imaging.views import cut
from monitor.inference.predictor import Predictor

TOLERANCE: Final = 1e-3
"""Largest difference of a score from its record or from the plain kernels, fp32."""

BF16_TOLERANCE: Final = 0.05
"""The same for bf16, which carries three significant digits from layer to layer."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Pictures with their recorded scores.

    `patches`: RGB uint8 (n, 224, 224, 3) of each picture; a score is the maximum over them.
    """

    names: tuple[str, ...]
    patches: tuple[NDArray[np.uint8], ...]
    scores: tuple[float, ...]
    tolerance: float

    @classmethod
    def load(cls, model_folder: Path) -> Golden | None:
        """Read `golden/scores.json` of a model; None if it ships none.

        The file: `{"view": "pulc", "tolerance": 1e-3, "pictures": [{"file": "a.jpg",
        "someone": 0.99}]}`. Raises ModelError if it, or a picture it names, cannot be used.
        """
        path = model_folder / "golden" / "scores.json"
        if not path.is_file():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            view = ViewKind(record.get("view", "pulc"))
            names = tuple(str(entry["file"]) for entry in record["pictures"])
            scores = tuple(float(entry["someone"]) for entry in record["pictures"])
            tolerance = float(record.get("tolerance", TOLERANCE))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"is no record of golden scores: {type(error).__name__}: {error}",
                where=str(path),
                remedy="restore the file, or set `inference.self_test: false`",
            ) from error
        patches = tuple(cut(read_picture(path.parent / name), view) for name in names)
        return cls(names, patches, scores, tolerance)


def self_test(
    predictor: Predictor, golden: Golden | None, precision: Precision, where: Path
) -> None:
    """Score the golden pictures. Raises ModelError naming the first that differs."""
    if golden is None:
        return
    tolerance = _tolerance(golden.tolerance, precision)
    for name, patches, expected in zip(golden.names, golden.patches, golden.scores, strict=True):
        got = float(predictor.run(patches)[:, 1].max())
        if not abs(got - expected) <= tolerance:
            raise ModelError(
                f"self-test failed: {name} scored {got:.6f}, recorded is {expected:.6f} "
                f"(tolerance {tolerance:g}, {precision})",
                where=str(where),
                remedy="restore the model's files; with backend onnxruntime, convert it "
                "again with `run_monitor.py model convert`; if all is right, Paddle computes "
                "wrongly here: try `inference.engine: onednn`, or plain",
            )


def compare(
    predictor: Predictor, plain: Predictor, golden: Golden | None, precision: Precision, where: Path
) -> None:
    """Compare with `plain`, a predictor with plain kernels. Raises ModelError when they differ.

    Without golden pictures a synthetic one serves.
    """
    pictures = dict(zip(golden.names, golden.patches, strict=True)) if golden else {}
    pictures = pictures or {"a synthetic picture": synthetic_patch()}
    tolerance = _tolerance(TOLERANCE, precision)
    for name, patches in pictures.items():
        got, expected = predictor.run(patches)[:, 1], plain.run(patches)[:, 1]
        worst = int(np.argmax(np.abs(got - expected)))
        if not abs(float(got[worst] - expected[worst])) <= tolerance:
            raise ModelError(
                f"self-test failed: {name} scored {got[worst]:.6f}, with plain kernels "
                f"{expected[worst]:.6f} (tolerance {tolerance:g}, {precision})",
                where=str(where),
                remedy="set `inference.engine: onednn`, or plain if that differs too, and "
                "report it to PaddlePaddle",
            )


def synthetic_patch() -> NDArray[np.uint8]:
    """One made-up patch, RGB uint8 (1, 224, 224, 3): gradients and blocks, always the same."""
    ramp = np.arange(SIDE, dtype=np.int64)
    blocks = np.random.default_rng(0).integers(0, 256, (7, 7, 3)).repeat(32, 0).repeat(32, 1)
    gradient = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 128), axis=-1)
    return np.asarray((blocks + gradient) // 2, dtype=np.uint8)[None]


def _tolerance(stated: float, precision: Precision) -> float:
    return max(stated, BF16_TOLERANCE) if precision is Precision.BF16 else stated
