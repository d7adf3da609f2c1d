"""`PresenceClassifier` against the `paddleclas` package: a folder of JPEGs in, verdicts out.

    python -m benchmarks.predict --model models/person_exists --pictures FOLDER --format json

`paddleclas` 2.6 pins old numpy and OpenCV, so it gets an environment of its own, made in
`--workspace` the first time (a few hundred megabytes), with the Paddle that is installed here.
Both run the same weights in processes of their own; loading is not counted, decoding is. They
take turns over the whole folder, and each one's best turn counts, in elapsed and in processor
time. `paddleclas` runs as its PULC configuration says (10 math threads, no oneDNN, batches of
one) and, to be fair, in batches of eight, and tuned (with oneDNN and one math thread as well).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.config.inference import PROJECT
from monitor.errors import ServiceError
from monitor.inference.classifier import find_pictures
from monitor.inference.model import DEFAULT_MODEL, ModelInfo

PADDLECLAS = "2.6.0"
RESULTS = "RESULT "
SAME = 1e-4
"""Largest difference of a score that still is the same score."""

THEIR_SETTINGS: dict[str, dict[str, Any]] = {
    "paddleclas": {},
    "paddleclas batches": {"batch_size": 8},
    "paddleclas tuned": {"batch_size": 8, "enable_mkldnn": True, "cpu_num_threads": 1},
}

LOOP = """
import json, os, sys, time
def processor():
    return time.process_time() + sum(time.clock_gettime((~pid << 3) | 2) for pid in children())
def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]
for line in sys.stdin:
    busy, begin = processor(), time.perf_counter()
    found = judge(line.strip())
    elapsed, busy = time.perf_counter() - begin, processor() - busy
    scores = {
        v["filename"]: float(v["scores"][0]) if v["class_ids"] == [1] else 1 - float(v["scores"][0])
        for v in found
    }
    print("RESULT " + json.dumps({"elapsed": elapsed, "busy": busy, "scores": scores}), flush=True)
"""

OURS = """
import sys
from pathlib import Path
from monitor import PresenceClassifier
from monitor.inference.classifier import processors
from monitor.inference.runtime import keep_memory
keep_memory()  # as the command does
classifier = PresenceClassifier(Path(sys.argv[1]), processes=processors())
def judge(folder):
    return [verdict for batch in classifier.predict(folder) for verdict in batch]
"""

THEIRS = """
import json, sys, logging
from paddle import inference
make = inference.Config
def config(*files):  # it knows .json models, but not the executor that Paddle 3 runs them with
    made = make(*files)
    made.enable_new_ir(True)
    made.enable_new_executor(True)
    return made
inference.Config = config
from paddleclas import PaddleClas
logging.disable(logging.CRITICAL)
settings = json.loads(sys.argv[2])
classifier = PaddleClas(model_name="person_exists", use_gpu=False, **settings)
def judge(folder):
    return [verdict for batch in classifier.predict(folder) for verdict in batch]
"""


class Contestant:
    """A process that judges a folder whenever it is told to."""

    def __init__(self, python: Path, script: str, *arguments: str, home: Path) -> None:
        environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(PROJECT)}
        if "paddleclas" in script:
            del environment["PYTHONPATH"]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (read when the process fails)
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", "-c", script + LOOP, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )

    def judge(self, folder: Path) -> dict[str, Any]:
        """Elapsed and processor seconds, and P(someone) by file name. Raises ServiceError."""
        _pipe(self._process.stdin).write(f"{folder}\n")
        _pipe(self._process.stdin).flush()
        for line in _pipe(self._process.stdout):
            if line.startswith(RESULTS):
                found: dict[str, Any] = json.loads(line.removeprefix(RESULTS))
                return found
        self._log.seek(0)
        raise ServiceError(
            "a contestant ended: " + self._log.read()[-2000:], remedy="see its words above"
        )

    def close(self) -> None:
        _pipe(self._process.stdin).close()
        self._process.wait()


def _pipe(end: IO[str] | None) -> IO[str]:
    assert end is not None
    return end


def paddleclas_python(workspace: Path) -> Path:
    """The interpreter of the environment with `paddleclas`, made if it is not there yet."""
    python = workspace / "paddleclas" / "bin" / "python"
    finished = workspace / "paddleclas" / "finished"
    if not finished.exists():
        sys.stderr.write("making the environment of paddleclas, this takes some minutes\n")
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        wanted = [f"paddleclas=={PADDLECLAS}", f"paddlepaddle=={version('paddlepaddle')}"]
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted, "setuptools<81"], check=True)
        finished.touch()
    return python


@contextmanager
def contestants(model: ModelInfo, workspace: Path, home: Path) -> Iterator[dict[str, Contestant]]:
    """Ours and theirs in each setting, each loaded once, ended afterwards."""
    python = paddleclas_python(workspace)
    weights = home / ".paddleclas" / "inference_model" / "PULC" / "person_exists"
    weights.mkdir(parents=True)
    for file in (model.program, model.params):
        shutil.copy(file, weights / file.name)
    (weights / "inference.pdmodel").touch()  # it looks for this before it loads inference.json
    both = {
        "ours": Contestant(Path(sys.executable), OURS, str(model.folder), home=home),
    }
    for name, settings in THEIR_SETTINGS.items():
        both[name] = Contestant(python, THEIRS, "", json.dumps(settings), home=home)
    try:
        yield both
    finally:
        for contestant in both.values():
            contestant.close()


def collect(pictures: Path, folder: Path, count: int) -> None:
    """Fill `folder` with `count` JPEGs from `pictures`, some of them several times if need be."""
    found = [file for file in find_pictures(pictures) if file.suffix.lower() in {".jpg", ".jpeg"}]
    for index in range(count):
        shutil.copy(found[index % len(found)], folder / f"{index:05}.jpg")


def main(  # noqa: PLR0917  (typer's options)
    model: Annotated[Path, typer.Option(help="Model folder.")] = DEFAULT_MODEL,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of JPEGs; else the model's golden pictures.")
    ] = None,
    count: Annotated[int, typer.Option(help="Pictures in a turn.")] = 128,
    rounds: Annotated[int, typer.Option(help="Turns of each contestant.")] = 5,
    workspace: Annotated[Path, typer.Option(help="Where the environment is kept.")] = Path(
        "var/benchmarks"
    ),
    output: FormatOption = Format.TABLE,
) -> None:
    """Milliseconds a picture, and how many times as fast as `paddleclas` we are."""
    info = ModelInfo.load(model)
    best: dict[str, dict[str, float]] = {}
    scores: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder, home = Path(place) / "pictures", Path(place) / "home"
        folder.mkdir()
        collect(pictures or info.folder / "golden", folder, count)
        with contestants(info, workspace.resolve(), home) as both:
            for turn in range(rounds + 1):
                for name, contestant in both.items():
                    result = contestant.judge(folder)
                    scores[name] = result.pop("scores")
                    if turn:  # the first one warms up
                        former = best.get(name, result)
                        best[name] = {key: min(former[key], result[key]) for key in result}
    rows = [
        {
            "contestant": name,
            "elapsed ms": round(times["elapsed"] * 1e3 / count, 3),
            "processor ms": round(times["busy"] * 1e3 / count, 3),
            "ours is faster": round(times["elapsed"] / best["ours"]["elapsed"], 2),
            "ours uses less": round(times["busy"] / best["ours"]["busy"], 2),
            "max difference": _gap(scores[name], scores["ours"]),
        }
        for name, times in best.items()
    ]
    print_rows(rows, list(rows[0]), output)
    if any(_gap(other, scores["ours"]) > SAME for other in scores.values()):
        raise typer.Exit(1)
    if len(scores["ours"]) != count:
        raise typer.Exit(1)


def _gap(some: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The largest difference between two contestants' scores of the same files."""
    return max(abs(some[file] - other[file]) for file in other)


if __name__ == "__main__":
    typer.run(main)
