"""From training weights to a model folder: program, parameters, card and golden scores.

The program is PIR (`inference.json`) with the softmax inside, input `x` float32
(-1, 3, 224, 224), output float32 (-1, 2), as PaddleClas's export makes it. Beside it lies the
same in Paddle 2's format (`inference.pdmodel`, the parameters are the same bytes), for that is
what Paddle's OpenVINO engine reads.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.config.camera import ViewKind
from monitor.config.inference import Engine
from monitor.errors import InputError, ModelError
from monitor.imaging.jpeg import read_picture
from monitor.imaging.preprocess import SIDE
from monitor.imaging.views import cut
from monitor.inference.backend import open_predictor
from monitor.inference.model import ModelInfo
from monitor.inference.selftest import TOLERANCE
from monitor.training.card import CARD, Card, digests
from monitor.training.exported import PARAMS
from monitor.training.files import prepare_output, write_json
from monitor.training.scoring import DEFAULT_ARCH, weights_digest
from monitor.training.trained import load_network, probabilities

PARITY: Final = 1e-4
"""Largest difference of a probability between the network and its exported program."""

LEGACY: Final = "inference.pdmodel"
PROGRAM_FILES: Final = ("inference.json", LEGACY, "inference.pdiparams")
STALE: Final = ("inference.onnx", "inference.pdiparams.info")
"""Files of former weights that would contradict the new ones."""

GOLDEN: Final = "golden"
MOST_GOLDEN: Final = 16
"""Most golden pictures: the daemon scores them at every start."""

_PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


@dataclass(frozen=True, slots=True)
class ExportJob:
    """What to export. `golden`: pictures or folders of pictures whose scores are recorded.

    Without any the pictures that `output` has already are scored anew.
    """

    weights: Path
    output: Path
    card: Card
    arch: str = DEFAULT_ARCH
    golden: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """The folder, and how far the program's probabilities are from the network's at most."""

    folder: Path
    max_difference: float
    golden: int


def export_model(job: ExportJob) -> Exported:
    """Make or renew the model folder `job.output`.

    All is made and checked in a folder beside it first. A new folder appears by one rename; in
    an existing one each file is replaced whole, the card last, and files that are not the
    model's stay. Raises ModelError for weights that do not fit or a program that scores unlike
    the network, InputError for golden pictures or an output that cannot be used.
    """
    network = load_network(job.arch, job.weights)
    output = job.output.absolute()
    if output.exists() and not output.is_dir():
        raise InputError("the output is a file", where=str(output), remedy="name a folder")
    pictures = _golden_pictures(job.golden, output / GOLDEN)
    prepare_output(output.parent, 100_000_000)
    with _staging(output) as staging:
        save_program(network, staging)
        _refuse_foreign_metrics(job, staging)
        _write_golden(network, pictures, staging / GOLDEN)
        card = dict(job.card)
        card["files"] = digests(staging, PROGRAM_FILES)
        difference = _parity(network, staging, pictures)
        card["export"] = {"max_difference": difference, "paddle": _paddle_version()}
        write_json(staging / CARD, card)
        _publish(staging, output)
    return Exported(output, difference, len(pictures))


def save_program(network: Any, folder: Path) -> None:
    """Write `network` (logits, eval mode) with a softmax: both programs, and the parameters."""
    from paddle.pir_utils import DygraphOldIrGuard

    with tempfile.TemporaryDirectory(prefix=".legacy.", dir=folder) as name:
        with DygraphOldIrGuard():
            _save(network, Path(name))
        _save(network, folder)
        params = (Path(name) / PARAMS).read_bytes()
        if (Path(name) / LEGACY).exists() and params == (folder / PARAMS).read_bytes():
            program = (Path(name) / LEGACY).read_bytes()
            (folder / LEGACY).write_bytes(without_callstacks(program))
    missing = [name for name in PROGRAM_FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"Paddle wrote no {' and no '.join(missing)}",
            remedy="export with Paddle 3.x and FLAGS_enable_pir_api on, its default",
        )


def without_callstacks(program: bytes) -> bytes:
    """A legacy program without the lines of Python, with their paths, that made its operators."""
    from paddle.base.proto import framework_pb2

    described = framework_pb2.ProgramDesc.FromString(program)
    for block in described.blocks:
        for operator in block.ops:
            kept = [each for each in operator.attrs if each.name != "op_callstack"]
            del operator.attrs[:]
            operator.attrs.extend(kept)
    return bytes(described.SerializeToString(deterministic=True))


def _save(network: Any, folder: Path) -> None:
    """One program and its parameters, in the format Paddle is set to."""
    import paddle

    served = paddle.nn.Sequential(network, paddle.nn.Softmax(axis=-1))
    served.eval()
    spec = paddle.static.InputSpec([None, 3, SIDE, SIDE], "float32", "x")
    program = paddle.jit.to_static(served, input_spec=[spec], full_graph=True)
    paddle.jit.save(program, str(folder / "inference"))


def sample_patches(count: int = 12, seed: int = 0) -> NDArray[np.uint8]:
    """Made-up patches for parity checks, uint8 (count, 224, 224, 3): noise, blocks and flats."""
    rng = np.random.default_rng(seed)
    patches = []
    for index in range(count):
        cell = (1, 8, 56, SIDE)[index % 4]
        coarse = rng.integers(0, 256, (SIDE // cell, SIDE // cell, 3))
        patches.append(coarse.repeat(cell, 0).repeat(cell, 1))
    return np.asarray(patches, np.uint8)


def _parity(network: Any, folder: Path, pictures: Sequence[Path]) -> float:
    patches = sample_patches()
    if pictures:
        cuts = [cut(read_picture(path), ViewKind.PULC) for path in pictures]
        patches = np.concatenate([patches, *cuts])
    expected = np.concatenate([probabilities(network, patch[None]) for patch in patches])
    difference = 0.0
    for engine in (Engine.ONEDNN, Engine.OPENVINO):
        found = open_predictor(ModelInfo.load(folder), engine=engine).run(patches)
        difference = max(difference, float(np.abs(found - expected).max()))
    if not difference <= PARITY:
        raise ModelError(
            f"the exported program differs from the network by {difference:.2g}, "
            f"allowed is {PARITY:g}",
            where=str(folder),
            remedy="nothing was exported; report it with the versions of Paddle and the processor",
        )
    return difference


def _refuse_foreign_metrics(job: ExportJob, folder: Path) -> None:
    """Metrics must be of these weights, measured before or after an export of them."""
    own = {weights_digest(job.weights), *digests(folder, PROGRAM_FILES).values()}
    for entry in job.card.get("metrics", ()):
        if entry.get("weights_sha256") not in {None, *own}:
            raise ModelError(
                f"the evaluation of {entry.get('list')}, view {entry['view']}, is not of these "
                "weights",
                where=str(job.weights),
                remedy="evaluate these weights, and give the new report as --metrics",
            )


def _golden_pictures(given: Sequence[Path], existing: Path) -> list[Path]:
    """The pictures to record, files of the same name only once. Raises InputError for others."""
    found: dict[str, Path] = {}
    for path in given or ([existing] if existing.is_dir() else []):
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            if path.is_dir() and file.suffix.lower() not in _PICTURES:
                continue
            read_picture(file)
            if found.setdefault(file.name, file) != file:
                raise InputError(
                    "two golden pictures have one name",
                    where=str(file),
                    remedy="rename one of them: they lie in one folder of the model",
                )
    if len(found) > MOST_GOLDEN:
        raise InputError(
            f"{len(found)} golden pictures are too many",
            where=", ".join(map(str, given or [existing])),
            remedy=f"a few suffice, {MOST_GOLDEN} are allowed: both classes, clear and doubtful",
        )
    if given and not found:
        raise InputError(
            "no golden picture there",
            where=", ".join(map(str, given)),
            remedy="name pictures, or folders of them",
        )
    return list(found.values())


def _write_golden(network: Any, pictures: Sequence[Path], folder: Path) -> None:
    """Copy the pictures and record what the network, not the program, gives for them."""
    if not pictures:
        return
    folder.mkdir()
    records = []
    for path in pictures:
        shutil.copyfile(path, folder / path.name)
        score = float(probabilities(network, cut(read_picture(path), ViewKind.PULC))[:, 1].max())
        records.append({"file": path.name, "someone": round(score, 7)})
    record = {"view": ViewKind.PULC.value, "tolerance": TOLERANCE, "pictures": records}
    write_json(folder / "scores.json", record)


@contextmanager
def _staging(output: Path) -> Iterator[Path]:
    staging = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    staging.chmod(0o755)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _publish(staging: Path, output: Path) -> None:
    """Put the finished files where they belong, the card last."""
    if not output.exists():
        staging.rename(output)
        return
    files = [path.relative_to(staging) for path in staging.rglob("*") if path.is_file()]
    for file in sorted(files, key=lambda file: (file.name == CARD, str(file))):
        target = output / file
        target.parent.mkdir(exist_ok=True)
        (staging / file).replace(target)
    for name in STALE:
        (output / name).unlink(missing_ok=True)


def _paddle_version() -> str:
    import paddle

    return str(paddle.__version__)
