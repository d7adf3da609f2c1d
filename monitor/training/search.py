"""Greedy hyper-parameter search (SHAS), as PaddleClas tools/search_strategy.py walks it.

One setting at a time: every value is trained, the best is kept, the next setting is tried on
top of it. Then networks for the teacher, and last the distillation with everything found.
Unlike there, a training already done with the very same settings is not repeated, a diverged
one counts as zero, and everything is in a journal: a killed search goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monitor.errors import ConfigError, InputError, ModelError, UsageError
from monitor.training.config import TrainConfig
from monitor.training.distill import run_distillation
from monitor.training.files import prepare_output, write_json
from monitor.training.loading import check_config, read_yaml, set_key
from monitor.training.progress import Reporter, Silent
from monitor.training.readiness import Readiness
from monitor.training.run_state import BEST_WEIGHTS, settings_of
from monitor.training.search_config import SearchConfig
from monitor.training.search_report import write_search_report
from monitor.training.train import run_training

JOURNAL = "search.json"
TEACHER, FINAL = "teacher", "distillation"
_JOURNAL_ROOM = 50_000_000
"""Free bytes asked for at the start; each training asks for its own."""

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """One value of one step; `tpr` and `auroc` are means over `search_times` trainings."""

    step: str
    value: Any
    tpr: float
    auroc: float
    runs: tuple[str, ...]
    best: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """All trials in order, the settings they led to, and the weights of the last training."""

    trials: tuple[Trial, ...]
    settings: Mapping[str, Any]
    weights: Path


def run_search(
    config: SearchConfig, *, resume: bool = False, report: Reporter | None = None
) -> SearchResult:
    """Walk all steps of the search; with `resume`, go on from the journal in the output folder.

    Raises UsageError if there is a search in the folder and `resume` is not asked for, or it is
    another one; ConfigError for configurations that do not fit; what trainings raise, except
    that a diverged one counts as zero.
    """
    return _Search(config, report or Silent()).walk(resume)


class _Search:
    """The state of one search: the settings so far and the journal."""

    def __init__(self, config: SearchConfig, report: Reporter) -> None:
        self._config = config
        self._report = report
        self._base = read_yaml(config.base_config_file)
        self._settings: dict[str, Any] = {}
        self._trials: list[Trial] = []
        self._runs: dict[str, Any] = {}
        self._checked = False

    def walk(self, resume: bool) -> SearchResult:
        """Every step in order; the result of the last one."""
        prepare_output(self._config.output_dir, _JOURNAL_ROOM)
        self._open_journal(resume)
        self._refuse_misfits()
        for step in self._config.search_dict:
            trees = {}
            for value in step.search_values:
                changes = dict.fromkeys(step.replace_config, value)
                trees[json.dumps(value)] = (value, self._tree(changes))
            chosen = self._try(step.search_key, trees)
            self._settings |= dict.fromkeys(step.replace_config, chosen.value)
        weights = self._best_weights()
        if self._config.teacher is not None:
            weights = self._best_teacher()
        if self._config.distill_config_file is not None:
            weights = self._distill(weights)
        self._write()
        return SearchResult(tuple(self._trials), dict(self._settings), weights)

    def _tree(self, changes: Mapping[str, Any], without: Sequence[str] = ()) -> Tree:
        """The base configuration with the settings found so far and `changes`."""
        tree = deepcopy(self._base)
        for key, value in {**self._settings, **changes}.items():
            if key not in without:
                set_key(tree, key, value)
        return tree

    def _best_teacher(self) -> Path:
        self._try(TEACHER, self._teacher_trees())
        return self._best_weights()

    def _teacher_trees(self) -> dict[str, tuple[Any, Tree]]:
        """The configuration of each network to try, with the settings found so far."""
        teacher = self._config.teacher
        trees: dict[str, tuple[Any, Tree]] = {}
        for name in teacher.search_values if teacher is not None else ():
            assert teacher is not None
            changes: Tree = {"arch.name": name, "arch.pretrained": teacher.pretrained.get(name)}
            tree = self._tree(changes, teacher.rm_keys)
            for key in teacher.rm_keys:
                set_key(tree, key, None)
            trees[name] = (name, tree)
        return trees

    def _distill(self, teacher_weights: Path) -> Path:
        file = self._config.distill_config_file
        assert file is not None
        tree = read_yaml(file)
        teacher = next(t.value for t in self._trials if t.step == TEACHER and t.best)
        found = {
            **self._settings,
            "distill.teacher.arch.name": teacher,
            "distill.teacher.arch.pretrained": str(teacher_weights),
        }
        for key, value in found.items():
            set_key(tree, key, value)
        self._try(FINAL, {teacher: (teacher, tree)}, times=1)
        return self._best_weights()

    def _best_weights(self) -> Path:
        best = next(trial for trial in reversed(self._trials) if trial.best)
        return self._config.output_dir / best.runs[0] / BEST_WEIGHTS

    # --- trials -----------------------------------------------------------------------------

    def _try(
        self, step: str, trees: Mapping[str, tuple[Any, Tree]], times: int | None = None
    ) -> Trial:
        """Train every value of a step and return the best: by TPR, then AUROC, then order."""
        trials = []
        for label, (value, tree) in trees.items():
            seed = int(tree.get("seed", 0))
            runs = [
                self._train(step, label, {**tree, "seed": seed + repeat})
                for repeat in range(times or self._config.search_times)
            ]
            count = len(runs)
            trials.append(
                Trial(
                    step,
                    value,
                    sum(run["tpr"] for run in runs) / count,
                    sum(run["auroc"] for run in runs) / count,
                    tuple(run["folder"] for run in runs),
                    note="; ".join(run["note"] for run in runs if run["note"]),
                )
            )
        best = max(trials, key=lambda trial: (trial.tpr, trial.auroc))
        if best.tpr <= 0.0 and all(trial.note for trial in trials):
            raise ModelError(
                f"no training of the step {step} succeeded: {best.note}",
                where=str(self._config.output_dir),
            )
        self._trials += [Trial(**{**asdict(t), "best": t is best}) for t in trials]
        self._report.say(f"{step}: {best.value} (tpr {best.tpr:.4f}, auroc {best.auroc:.4f})")
        self._write()
        write_search_report(self._config.output_dir, [asdict(trial) for trial in self._trials])
        return next(trial for trial in self._trials if trial.step == step and trial.best)

    def _train(self, step: str, label: str, tree: Tree) -> dict[str, Any]:
        """One training, or what the journal knows of it."""
        config = self._check(tree, step)
        folder = _digest(config)
        if folder in self._runs:
            return dict(self._runs[folder])
        data = config.data.model_copy(
            update={"check_pictures": config.data.check_pictures and not self._checked}
        )
        placed = config.model_copy(
            update={"output_dir": self._config.output_dir / folder, "data": data}
        )
        self._report.say(f"{step} = {label}, seed {config.seed}: {placed.output_dir}")
        work = run_distillation if config.distill is not None else run_training
        try:
            verdict = work(placed, resume=True, report=self._report).best
            run = {"tpr": verdict.tpr, "auroc": verdict.auroc, "folder": folder, "note": ""}
        except ModelError as error:
            if not (placed.output_dir / "config.json").exists():
                raise  # It never began: the weights do not fit, say.
            run = {"tpr": 0.0, "auroc": 0.0, "folder": folder, "note": error.what}
        self._checked = True
        self._runs[folder] = run
        self._write()
        return dict(run)

    def _check(self, tree: Tree, step: str) -> TrainConfig:
        return check_config(TrainConfig, tree, f"{self._config.base_config_file} ({step})")

    def _refuse_misfits(self) -> None:
        """Every training must be able to begin, before the first of them takes its hours."""
        readiness = Readiness()
        for step in self._config.search_dict:
            for value in step.search_values:
                tree = self._tree(dict.fromkeys(step.replace_config, value))
                readiness.check(self._check(tree, step.search_key))
        for _, tree in self._teacher_trees().values():
            readiness.check(self._check(tree, TEACHER))
        file = self._config.distill_config_file
        if file is not None:
            config = check_config(TrainConfig, read_yaml(file), str(file))
            if config.distill is None:
                raise ConfigError(
                    "there is no `distill` section",
                    where=str(file),
                    remedy="name a configuration of `model distill`",
                )
            readiness.check(config)

    # --- journal ----------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        tree = self._config.model_dump(mode="json", exclude={"output_dir"})
        return {**tree, "base": json.loads(json.dumps(self._base, default=str))}

    def _open_journal(self, resume: bool) -> None:
        file = self._config.output_dir / JOURNAL
        if not file.exists():
            return
        if not resume:
            raise UsageError(
                "the output folder already holds a search",
                where=str(file),
                remedy="continue it with --resume, or choose another --output",
            )
        try:
            journal = json.loads(file.read_text(encoding="utf-8"))
            identity, runs = journal["search"], journal["runs"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"the journal cannot be read: {error}", where=str(file)) from None
        if identity != self._identity():
            raise UsageError(
                "the search in this folder was begun with other settings",
                where=str(file),
                remedy="restore its configuration files, or choose another --output",
            )
        self._runs = runs
        self._checked = bool(runs)
        self._report.say(f"resumed: {len(runs)} trainings are done")

    def _write(self) -> None:
        write_json(
            self._config.output_dir / JOURNAL,
            {
                "search": self._identity(),
                "runs": self._runs,
                "settings": self._settings,
                "trials": [asdict(trial) for trial in self._trials],
            },
        )


def _digest(config: TrainConfig) -> str:
    """A folder name made of what decides about the weights."""
    text = json.dumps(settings_of(config), sort_keys=True)
    return f"run-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
