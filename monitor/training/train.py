"""The training loop: `run_training` takes a configuration to the best weights of a run.

An output folder holds
    best_model.pdparams   the best weights so far (averaged ones if `ema` is on)
    config.json           the configuration of the run
    checkpoint.npz        everything needed to go on after a kill
    history.json, history.csv, curves.png, tensorboard/
    result.json           the summary, when the run is over
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
from paddle import nn

from monitor.errors import ConfigError, ModelError, UsageError
from monitor.training.checkpoint import FILE_NAME, Checkpoint, load_checkpoint, save_checkpoint
from monitor.training.config import ArchConfig, TrainConfig
from monitor.training.dataset import (
    Batch,
    EvalBatches,
    Mixture,
    TrainBatches,
    load_entries,
    mix,
)
from monitor.training.ema import MovingAverage
from monitor.training.files import prepare_output, write_json
from monitor.training.history import History
from monitor.training.judge import Verdict, judge
from monitor.training.lists import require_both_classes
from monitor.training.networks import NETWORKS, build_network
from monitor.training.objectives import LabelObjective, Objective, TensorBatch
from monitor.training.optimisers import build_optimiser
from monitor.training.pictures import PictureCache
from monitor.training.pretrained import load_pretrained, save_weights
from monitor.training.progress import Reporter, Silent
from monitor.training.sampler import epoch_length, epoch_order, share_of
from monitor.training.schedule import CosineSchedule
from monitor.training.team import Team, join_team
from monitor.training.transforms import EvalTransform, TrainTransform

BEST_WEIGHTS = "best_model.pdparams"

MAY_DIFFER = {"output_dir", "print_batch_step", "checkpoint_steps", "threads", "device"}
"""Settings a resumed run may change: they leave the weights alone."""

MAY_DIFFER_IN_DATA = {"workers", "check_pictures"}

ObjectiveBuilder = Callable[[TrainConfig, Mixture, nn.Layer], Objective]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to."""

    output_dir: Path
    weights: Path
    best_epoch: int
    best: Verdict
    epochs: int
    steps: int
    seconds: float
    rank: int = 0
    """Number of this process; the first one reports."""

    def as_row(self) -> dict[str, Any]:
        """For `--format json` and result.json."""
        return {
            "output_dir": str(self.output_dir),
            "weights": str(self.weights),
            "best_epoch": self.best_epoch,
            **self.best.as_row(),
            "epochs": self.epochs,
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
        }


def run_training(
    config: TrainConfig,
    *,
    resume: bool = False,
    report: Reporter | None = None,
    build_objective: ObjectiveBuilder | None = None,
) -> RunResult:
    """Train as configured and return the best of it.

    With `resume`, a run in the output folder is continued from its checkpoint (or begun, if
    there is none); the weights it ends with are bit for bit those of an uninterrupted run.
    Raises before the first batch for whatever would spoil the run: ConfigError (unknown
    network), InputError (lists, pictures, output folder), ModelError (weights of another
    shape), UsageError (a finished or different run in the output folder).
    """
    team = join_team(config.device)
    said: Reporter = report if report is not None and team.leads else Silent()
    # The names of parameters, by which the optimiser keeps its state, must not depend on what
    # else was built in this process before.
    with paddle.utils.unique_name.guard():
        run = _Run(config, team, said, build_objective or _label_objective)
        run.begin(resume)
        return run.work()


def create_network(arch: ArchConfig, report: Reporter | None = None) -> nn.Layer:
    """The configured network with its pretrained weights, if any.

    Raises ConfigError for an unknown name or settings it does not take, ModelError for weights
    that do not fit.
    """
    if arch.name not in NETWORKS:
        raise ConfigError(
            f"there is no network {arch.name!r}",
            where="arch.name",
            remedy=f"known: {', '.join(NETWORKS)}",
        )
    try:
        network = build_network(arch.name, arch.class_num, **arch.settings())
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{arch.name}: {error}", where="arch") from None
    if arch.pretrained is not None:
        loaded = load_pretrained(network, arch.pretrained)
        if report is not None:
            report.say(f"{arch.name}: {loaded.loaded} tensors from {arch.pretrained}")
            if loaded.fresh:
                report.say(f"  classifier of another size, starts fresh: {', '.join(loaded.fresh)}")
    return network


def _label_objective(config: TrainConfig, mixture: Mixture, network: nn.Layer) -> Objective:
    return LabelObjective(config.loss)


class _Run:
    """One run: what is fixed, and what moves from step to step."""

    def __init__(
        self,
        config: TrainConfig,
        team: Team,
        report: Reporter,
        build_objective: ObjectiveBuilder,
    ) -> None:
        self._config = config
        self._team = team
        self._report = report
        self._build_objective = build_objective
        self._epoch = 0
        self._step_in_epoch = 0
        self._step = 0
        self._sums: dict[str, float] = {}
        self._best: Verdict | None = None
        self._best_epoch = 0
        self._seconds_before = 0.0
        self._started = time.monotonic()

    # --- before the first batch -------------------------------------------------------------

    def begin(self, resume: bool) -> None:
        """Check everything that can be checked, build everything, resume if asked."""
        config, folder = self._config, self._config.output_dir
        checkpoint_file = folder / FILE_NAME
        resuming = resume and checkpoint_file.exists()
        if checkpoint_file.exists() and not resume:
            raise UsageError(
                "the output folder already holds a run",
                where=str(folder),
                remedy="continue it with --resume, or choose another --output",
            )
        cv2.setNumThreads(1)
        if config.threads is not None:
            paddle.base.core.set_num_threads(config.threads)
        paddle.seed(config.seed)
        self._network = create_network(config.arch, self._report)
        size = sum(tensor.size * 4 for tensor in self._network.state_dict().values())
        prepare_output(folder, 8 * size)
        self._load_data(check=config.data.check_pictures and not resuming)
        self._objective = self._build_objective(config, self._mixture, self._network)
        self._optimiser = build_optimiser(config.optimizer, [self._network, self._objective])
        self._trained = [
            parameter
            for layer in (self._network, self._objective)
            for parameter in layer.parameters()
            if parameter.trainable
        ]
        decay = config.ema.decay
        self._average = MovingAverage(self._network, decay) if decay > 0.0 else None
        epochs: Sequence[Mapping[str, Any]] = ()
        steps: Sequence[Mapping[str, Any]] = ()
        if resuming:
            progress = self._restore(load_checkpoint(checkpoint_file))
            epochs, steps = progress["epochs"], progress["steps"]
        self._team.share_weights(list(self._network.state_dict().values()))
        self._history = History(folder, epochs, steps) if self._team.leads else None
        if self._team.leads:
            write_json(folder / "config.json", config.model_dump(mode="json"))

    def _load_data(self, *, check: bool) -> None:
        config, data = self._config, self._config.data
        *trained_on, judged_by = [
            load_entries(
                source,
                check=check or data.skip_broken,
                skip_broken=data.skip_broken,
                workers=data.workers,
                report=self._report,
            )
            for source in (*data.train, data.val)
        ]
        require_both_classes(judged_by, str(data.val.list))
        self._mixture = mix(data, trained_on)
        cache = PictureCache(data.cache_side)
        self._batches = TrainBatches(
            self._mixture,
            TrainTransform(config.augment),
            cache,
            seed=config.seed,
            batch_size=data.batch_size,
            workers=data.workers,
            drop_last=data.drop_last,
        )
        self._judged = EvalBatches(
            judged_by,
            EvalTransform(config.eval),
            PictureCache(),
            batch_size=config.eval.batch_size,
            workers=data.workers,
        )
        shown = epoch_length(self._mixture.weights)
        self._steps_per_epoch = self._batches.count(-(-shown // self._team.world))
        if self._steps_per_epoch == 0:
            raise ConfigError("an epoch is smaller than a batch", where="data.batch_size")
        optimizer = config.optimizer
        self._schedule = CosineSchedule(
            optimizer.learning_rate,
            config.epochs * self._steps_per_epoch,
            round(optimizer.warmup_epoch * self._steps_per_epoch),
            optimizer.eta_min,
        )
        self._report.say(
            f"{len(self._mixture.samples)} training pictures, {shown} an epoch, "
            f"{self._steps_per_epoch} batches; {len(judged_by)} to judge by"
        )

    # --- the work ---------------------------------------------------------------------------

    def work(self) -> RunResult:
        """Run all epochs that are left."""
        self._network.train()
        self._objective.train()
        with warnings.catch_warnings():
            # Paddle's BatchNorm says so on every call in training mode; it is what is wanted.
            warnings.filterwarnings("ignore", "When training, we now always track", UserWarning)
            while self._epoch < self._config.epochs:
                self._train_epoch()
                self._finish_epoch()
        if self._history is not None:
            self._history.close()
        self._team.wait()
        return self._result()

    def _train_epoch(self) -> None:
        order = share_of(
            epoch_order(self._mixture.weights, self._config.seed, self._epoch),
            self._team.rank,
            self._team.world,
        )
        title = f"epoch {self._epoch + 1}/{self._config.epochs}"
        # Each process draws its own augmentations.
        stream = self._epoch * self._team.world + self._team.rank
        with self._report.bar(title, self._steps_per_epoch) as advance:
            advance(self._step_in_epoch)
            for batch in self._batches.epoch(order, stream, start=self._step_in_epoch):
                self._train_batch(batch)
                advance(1)
                every = self._config.checkpoint_steps
                if every and self._step % every == 0:
                    self._save()

    def _train_batch(self, batch: Batch) -> None:
        rate = self._schedule.at(self._step)
        self._optimiser.set_lr(rate)
        paddle.seed(_seed_of_step(self._config.seed, self._step, self._team.rank))
        tensors = TensorBatch(
            paddle.to_tensor(batch.pictures),
            paddle.to_tensor(batch.labels),
            paddle.to_tensor(batch.indices),
        )
        loss, parts = self._objective(self._network, tensors)
        loss.backward()
        self._team.average_gradients(self._trained)
        self._optimiser.step()
        self._optimiser.clear_grad()
        if self._average is not None:
            self._average.update()
        values = {"loss": float(loss), **{name: float(part) for name, part in parts.items()}}
        if not math.isfinite(values["loss"]):
            raise ModelError(
                f"the loss became {values['loss']} in epoch {self._epoch + 1}, step {self._step}",
                where=str(self._config.output_dir),
                remedy="lower optimizer.learning_rate, or set optimizer.clip_norm",
            )
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if self._history is not None and self._step % self._config.print_batch_step == 0:
            self._history.add_step({"step": self._step, "lr": rate, **values})
        self._step += 1
        self._step_in_epoch += 1

    def _finish_epoch(self) -> None:
        config = self._config
        number = self._epoch + 1
        means = {name: total / self._steps_per_epoch for name, total in self._sums.items()}
        row: dict[str, Any] = {
            "epoch": number,
            **{f"train_{name}": value for name, value in means.items()},
            "seconds": round(self._elapsed(), 1),
        }
        due = number >= config.start_eval_epoch and (
            (number - config.start_eval_epoch) % config.eval_interval == 0
        )
        if self._team.leads and (due or number == config.epochs):
            verdict = self._judge()
            row |= verdict.as_row()
            if verdict.better_than(self._best):
                self._best, self._best_epoch = verdict, number
                self._save_best()
            self._report.say(_line(row, best=self._best_epoch == number))
        self._epoch += 1
        self._step_in_epoch = 0
        self._sums = {}
        if self._history is not None:
            self._history.add_epoch(row)
        self._save()

    def _judge(self) -> Verdict:
        with self._report.bar("judging", len(self._judged.entries)) as advance:
            if self._average is None:
                return judge(self._network, self._judged, self._config.eval.max_fpr, advance)
            with self._average.in_place():
                return judge(self._network, self._judged, self._config.eval.max_fpr, advance)

    def _result(self) -> RunResult:
        folder = self._config.output_dir
        best = self._best or Verdict(*[math.nan] * 6)
        result = RunResult(
            folder,
            folder / BEST_WEIGHTS,
            self._best_epoch,
            best,
            self._config.epochs,
            self._step,
            self._elapsed(),
            self._team.rank,
        )
        if self._team.leads:
            write_json(folder / "result.json", result.as_row())
        return result

    # --- saving and resuming ----------------------------------------------------------------

    def _save_best(self) -> None:
        file = self._config.output_dir / BEST_WEIGHTS
        if self._average is None:
            save_weights(self._network.state_dict(), file)
            return
        with self._average.in_place():
            save_weights(self._network.state_dict(), file)

    def _save(self) -> None:
        if self._history is None:
            return
        parts = {
            "network": _arrays(self._network.state_dict()),
            "objective": _arrays(self._objective.state_dict()),
            "optimiser": _arrays(self._optimiser.state_dict()),
            "average": self._average.state() if self._average is not None else {},
        }
        progress = {
            "epoch": self._epoch,
            "step_in_epoch": self._step_in_epoch,
            "step": self._step,
            "sums": self._sums,
            "best": self._best.as_row() if self._best is not None else None,
            "best_epoch": self._best_epoch,
            "seconds": self._elapsed(),
            "epochs": self._history.epochs,
            "steps": self._history.steps,
            "settings": settings_of(self._config),
            "data": self._data_digest(),
        }
        save_checkpoint(self._config.output_dir / FILE_NAME, Checkpoint(parts, progress))

    def _restore(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        progress, parts = checkpoint.progress, checkpoint.parts
        self._refuse_changes(progress)
        for layer, name in ((self._network, "network"), (self._objective, "objective")):
            for key, tensor in layer.state_dict().items():
                tensor.set_value(parts[name][key])
        self._optimiser.set_state_dict(dict(parts["optimiser"]))
        if self._average is not None:
            self._average.restore(parts["average"])
        self._epoch = progress["epoch"]
        self._step_in_epoch = progress["step_in_epoch"]
        self._step = progress["step"]
        self._sums = dict(progress["sums"])
        self._best = Verdict(**progress["best"]) if progress["best"] else None
        self._best_epoch = progress["best_epoch"]
        self._seconds_before = progress["seconds"]
        self._report.say(f"resumed in epoch {self._epoch + 1} at step {self._step}")
        return progress

    def _refuse_changes(self, progress: Mapping[str, Any]) -> None:
        then, now = progress["settings"], settings_of(self._config)
        changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
        if progress["data"] != self._data_digest():
            changed.append("the listed pictures")
        if changed:
            raise UsageError(
                f"the run to resume was begun differently: {', '.join(changed)}",
                where=str(self._config.output_dir),
                remedy="resume with the same settings and lists, or begin in another folder",
            )

    def _data_digest(self) -> str:
        names = [sample.entry.name for sample in self._mixture.samples]
        digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape"))
        digest.update(self._mixture.labels.tobytes())
        digest.update(str(self._team.world).encode())
        return digest.hexdigest()

    def _elapsed(self) -> float:
        return self._seconds_before + time.monotonic() - self._started


def _arrays(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.numpy() for name, value in state.items() if isinstance(value, paddle.Tensor)
    }


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """The settings that decide about the weights, flat."""
    tree = config.model_dump(mode="json", exclude=MAY_DIFFER | {"data"})
    tree["data"] = config.data.model_dump(mode="json", exclude=MAY_DIFFER_IN_DATA)
    return _flat(tree, "")


def _flat(tree: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _seed_of_step(seed: int, step: int, rank: int) -> int:
    """What dropout and stochastic depth are seeded with at an iteration."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


def _line(row: Mapping[str, Any], *, best: bool) -> str:
    return (
        f"epoch {row['epoch']:>3}  loss {row['train_loss']:.4f}  tpr {row['tpr']:.4f} "
        f"at fpr {row['fpr']:.4f}  auroc {row['auroc']:.4f}{'  best' if best else ''}"
    )
