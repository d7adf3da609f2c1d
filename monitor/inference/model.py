"""A model on disk: its files, its labels and its name in events."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monitor.config.inference import located
from monitor.errors import ModelError

DEFAULT_MODEL: Final = Path("models/person_exists")
DEFAULT_LABELS: Final = ("nobody", "someone")
DEFAULT_THRESHOLD: Final = 0.5
"""PaddleClas deploy/configs/PULC/person_exists/inference_person_exists.yaml, ThreshOutput."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model before it is loaded.

    `program`: the graph, `inference.json` (PIR) or legacy `inference.pdmodel`; `legacy`: the
    latter, if there is one, which Paddle's OpenVINO needs; `params`: the weights of either.
    `labels` name outputs 0 and 1; a score of `threshold` or more is the second label.
    `model_id`: name and the first 12 hex digits of the weights' SHA-256.
    """

    folder: Path
    program: Path
    legacy: Path | None
    params: Path
    labels: tuple[str, str]
    threshold: float
    model_id: str

    @classmethod
    def load(cls, folder: Path) -> ModelInfo:
        """Look into `folder`; if it is relative and not here, into the project's.

        Raises ModelError when the folder or a file is missing, or `model.json` is no model card.
        """
        folder = find_model(folder)
        program = _existing(folder, "inference.json", "inference.pdmodel")
        params = _existing(folder, "inference.pdiparams")
        legacy = folder / "inference.pdmodel" if (folder / "inference.pdmodel").is_file() else None
        if legacy:
            _check_legacy(legacy)
        card = _read_card(folder / "model.json")
        digest = hashlib.sha256(params.read_bytes()).hexdigest()[:12]
        return cls(
            folder=folder,
            program=program,
            legacy=legacy,
            params=params,
            labels=_labels(card, folder),
            threshold=_threshold(card, folder),
            model_id=f"{folder.name}-{digest}",
        )


def find_model(folder: Path) -> Path:
    """The model folder as an absolute path. Raises ModelError if there is none."""
    found = located(folder)
    if found.is_dir():
        return found.resolve()
    raise ModelError(
        "there is no such model folder",
        where=str(folder),
        remedy="give a folder with inference.json (or inference.pdmodel) and inference.pdiparams, "
        "or fetch one with `run_monitor.py model fetch`",
    )


def _existing(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(
        f"the model folder has no {' or '.join(names)}",
        where=str(folder),
        remedy="export a model into it with `run_monitor.py model export`",
    )


def _check_legacy(program: Path) -> None:
    """Paddle dies of a segmentation fault on a `.pdmodel` that is no serialized program."""
    with program.open("rb") as file:
        if file.read(1) != b"\x0a":
            raise ModelError(
                "is no Paddle program",
                where=str(program),
                remedy="copy the file again; it is damaged or of another kind",
            )


def _read_card(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(
            f"is no JSON: {error}", where=str(path), remedy="export the model again"
        ) from error
    if not isinstance(card, dict):
        raise ModelError("is no model card", where=str(path), remedy="export the model again")
    return card


def _labels(card: dict[str, Any], folder: Path) -> tuple[str, str]:
    labels = card.get("labels", DEFAULT_LABELS)
    if len(labels) != 2 or not all(isinstance(label, str) for label in labels):
        raise ModelError(
            f"`labels` must be two names, nobody's first; found {labels!r}",
            where=str(folder / "model.json"),
            remedy="use a model of two classes",
        )
    return labels[0], labels[1]


def _threshold(card: dict[str, Any], folder: Path) -> float:
    thresholds = card.get("thresholds", {})
    value = thresholds.get("default", DEFAULT_THRESHOLD) if isinstance(thresholds, dict) else None
    if not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ModelError(
            f"`thresholds.default` must be a number between 0 and 1, found {value!r}",
            where=str(folder / "model.json"),
            remedy="export the model again",
        )
    return float(value)
