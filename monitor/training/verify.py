"""Is this model what it claims to be: its files, its golden scores, PaddleClas's golden scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monitor.config.camera import ViewKind
from monitor.config.inference import Engine
from monitor.errors import InputError, ModelError
from monitor.imaging.jpeg import read_picture
from monitor.imaging.views import cut
from monitor.inference.model import ModelInfo
from monitor.inference.predictor import PaddlePredictor, Predictor
from monitor.inference.selftest import TOLERANCE, Golden, synthetic_patch
from monitor.training.card import CARD, read_json, sha256_of
from monitor.training.official import OFFICIAL_GOLDEN


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `expected` and `found` are scores or digests."""

    what: str
    subject: str
    expected: str
    found: str
    passed: bool


def verify_model(folder: Path, golden_dir: Path | None = None) -> list[Check]:
    """Look at a model folder.

    Its files against the SHA-256 in its card, its own golden pictures against
    `golden/scores.json`, oneDNN against plain kernels, and, given the folder with PaddleClas's
    demo pictures, the scores of the official weights. Raises ModelError when the model cannot
    be loaded, InputError when `golden_dir` holds none of the pictures.
    """
    info = ModelInfo.load(folder)
    checks = _files(info)
    predictor = PaddlePredictor(info)
    golden = Golden.load(info.folder)
    if golden is not None:
        for name, patches, expected in zip(
            golden.names, golden.patches, golden.scores, strict=True
        ):
            found = float(predictor.run(patches)[:, 1].max())
            checks.append(_score("golden", name, expected, found, golden.tolerance))
    checks.append(_kernels(info, predictor, golden))
    if golden_dir is not None:
        checks += _official(predictor, golden_dir)
    return checks


def require_passed(checks: list[Check], where: str) -> None:
    """Raises ModelError naming the checks that failed."""
    failed = [f"{check.what} {check.subject}" for check in checks if not check.passed]
    if failed:
        raise ModelError(
            f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}",
            where=where,
            remedy="these are not the files or not the weights they are taken for: fetch or "
            "export the model again",
        )


def _files(info: ModelInfo) -> list[Check]:
    card = info.folder / CARD
    recorded = read_json(card).get("files", {}) if card.is_file() else {}
    if not isinstance(recorded, dict):
        raise ModelError("`files` is no mapping of names to digests", where=str(card))
    checks = []
    for name, digest in recorded.items():
        path = info.folder / Path(str(name)).name
        found = sha256_of(path) if path.is_file() else "missing"
        checks.append(Check("sha256", str(name), str(digest), found, found == digest))
    return checks


def _kernels(info: ModelInfo, predictor: Predictor, golden: Golden | None) -> Check:
    plain = PaddlePredictor(info, engine=Engine.PLAIN)
    name, patches = "a synthetic picture", synthetic_patch()
    if golden is not None and golden.names:
        name, patches = golden.names[0], golden.patches[0]
    expected, found = (float(each.run(patches)[:, 1].max()) for each in (plain, predictor))
    return _score("as plain kernels", name, expected, found, TOLERANCE)


def _official(predictor: Predictor, folder: Path) -> list[Check]:
    present = {name: folder / name for name in OFFICIAL_GOLDEN if (folder / name).is_file()}
    if not present:
        raise InputError(
            f"holds none of {', '.join(OFFICIAL_GOLDEN)}",
            where=str(folder),
            remedy="take them from PaddleClas, deploy/images/PULC/person_exists",
        )
    checks = []
    for name, path in present.items():
        patches = cut(read_picture(path), ViewKind.PULC)
        found = float(predictor.run(patches)[:, 1].max())
        checks.append(_score("official", name, OFFICIAL_GOLDEN[name], found, TOLERANCE))
    return checks


def _score(what: str, name: str, expected: float, found: float, tolerance: float) -> Check:
    passed = abs(found - expected) <= tolerance
    return Check(what, name, f"{expected:.7f}", f"{found:.7f}", passed)
