"""The training loop: `run_training` takes a configuration to the best weights of a run.

An output folder holds
    best_model.pdparams   the best weights so far (averaged ones if `ema` is on)
    config.json           the configuration of the run
    checkpoint.npz        everything needed to go on after a kill
    history.json, history.csv, curves.png, tensorboard/
    result.json           the summary, when the run is over
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import paddle
from paddle import nn

from monitor.errors import ModelError, UsageError
from monitor.training.checkpoint import FILE_NAME, Checkpoint, load_checkpoint, save_checkpoint
from monitor.training.config import TrainConfig
from monitor.training.create import create_network
from monitor.training.dataset import Batch, Mixture
from monitor.training.ema import MovingAverage
from monitor.training.files import prepare_output, write_json
from monitor.training.history import History, require_libraries
from monitor.training.judge import Verdict, judge
from monitor.training.objectives import LabelObjective, Objective, TensorBatch
from monitor.training.optimisers import build_optimiser
from monitor.training.pretrained import save_weights
from monitor.training.progress import Reporter, Silent
from monitor.training.run_data import load_run_data
from monitor.training.run_state import (
    BEST_WEIGHTS,
    RunResult,
    RunState,
    data_digest,
    refuse_changes,
    settings_of,
)
from monitor.training.sampler import epoch_order, share_of
from monitor.training.schedule import CosineSchedule
from monitor.training.team import Team, join_team

ObjectiveBuilder = Callable[[TrainConfig, Mixture, nn.Layer], Objective]


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
    shape), UsageError (a finished or different run in the output folder, a library missing).
    """
    require_libraries()
    team = join_team(config.device)
    said: Reporter = report if report is not None and team.leads else Silent()
    # The names of parameters, by which the optimiser keeps its state, must not depend on what
    # else was built in this process before.
    with paddle.utils.unique_name.guard():
        run = _Run(config, team, said, build_objective or _label_objective)
        run.begin(resume)
        return run.work()


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
        self._state = RunState()
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
        self._data = load_run_data(
            config,
            self._team.world,
            check=config.data.check_pictures and not resuming,
            report=self._report,
        )
        self._schedule = _schedule_of(config, self._data.steps_per_epoch)
        self._objective = self._build_objective(config, self._data.mixture, self._network)
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

    # --- the work ---------------------------------------------------------------------------

    def work(self) -> RunResult:
        """Run all epochs that are left."""
        self._network.train()
        self._objective.train()
        with warnings.catch_warnings():
            # Paddle's BatchNorm says so on every call in training mode; it is what is wanted.
            warnings.filterwarnings("ignore", "When training, we now always track", UserWarning)
            while self._state.epoch < self._config.epochs:
                self._train_epoch()
                self._finish_epoch()
        if self._history is not None:
            self._history.close()
        self._team.wait()
        return self._result()

    def _train_epoch(self) -> None:
        order = share_of(
            epoch_order(self._data.mixture.weights, self._config.seed, self._state.epoch),
            self._team.rank,
            self._team.world,
        )
        title = f"epoch {self._state.epoch + 1}/{self._config.epochs}"
        # Each process draws its own augmentations.
        stream = self._state.epoch * self._team.world + self._team.rank
        with self._report.bar(title, self._data.steps_per_epoch) as advance:
            advance(self._state.step_in_epoch)
            for batch in self._data.batches.epoch(order, stream, start=self._state.step_in_epoch):
                self._train_batch(batch)
                advance(1)
                every = self._config.checkpoint_steps
                if every and self._state.step % every == 0:
                    self._save()

    def _train_batch(self, batch: Batch) -> None:
        state = self._state
        rate = self._schedule.at(state.step)
        self._optimiser.set_lr(rate)
        paddle.seed(_seed_of_step(self._config.seed, state.step, self._team.rank))
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
                f"the loss became {values['loss']} in epoch {state.epoch + 1}, step {state.step}",
                where=str(self._config.output_dir),
                remedy="lower optimizer.learning_rate, or set optimizer.clip_norm",
            )
        for name, value in values.items():
            state.sums[name] = state.sums.get(name, 0.0) + value
        # A small set has fewer batches in an epoch than lie between points.
        due = state.step % self._config.print_batch_step == 0 or state.step_in_epoch == 0
        if self._history is not None and due:
            self._history.add_step({"step": state.step, "lr": rate, **values})
        state.step += 1
        state.step_in_epoch += 1

    def _finish_epoch(self) -> None:
        config, state = self._config, self._state
        number = state.epoch + 1
        means = {name: total / self._data.steps_per_epoch for name, total in state.sums.items()}
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
            if verdict.better_than(state.best):
                state.best, state.best_epoch = verdict, number
                self._save_best()
            self._report.say(_line(row, best=state.best_epoch == number))
        state.epoch += 1
        state.step_in_epoch = 0
        state.sums = {}
        if self._history is not None:
            self._history.add_epoch(row)
        self._save()

    def _judge(self) -> Verdict:
        with self._report.bar("judging", len(self._data.judged.entries)) as advance:
            if self._average is None:
                return judge(self._network, self._data.judged, self._config.eval.max_fpr, advance)
            with self._average.in_place():
                return judge(self._network, self._data.judged, self._config.eval.max_fpr, advance)

    def _result(self) -> RunResult:
        folder = self._config.output_dir
        best = self._state.best or Verdict(*[math.nan] * 6)
        result = RunResult(
            folder,
            folder / BEST_WEIGHTS,
            self._state.best_epoch,
            best,
            self._config.epochs,
            self._state.step,
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
            "state": {**self._state.as_json(), "seconds": self._elapsed()},
            "epochs": self._history.epochs,
            "steps": self._history.steps,
            "settings": settings_of(self._config),
            "data": data_digest(self._data.mixture, self._team.world),
        }
        save_checkpoint(self._config.output_dir / FILE_NAME, Checkpoint(parts, progress))

    def _restore(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        progress, parts = checkpoint.progress, checkpoint.parts
        refuse_changes(progress, self._config, data_digest(self._data.mixture, self._team.world))
        for layer, name in ((self._network, "network"), (self._objective, "objective")):
            for key, tensor in layer.state_dict().items():
                tensor.set_value(parts[name][key])
        self._optimiser.set_state_dict(dict(parts["optimiser"]))
        if self._average is not None:
            self._average.restore(parts["average"])
        self._state = RunState.from_json(progress["state"])
        self._report.say(f"resumed in epoch {self._state.epoch + 1} at step {self._state.step}")
        return progress

    def _elapsed(self) -> float:
        return self._state.seconds + time.monotonic() - self._started


def _arrays(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.numpy() for name, value in state.items() if isinstance(value, paddle.Tensor)
    }


def _schedule_of(config: TrainConfig, steps_per_epoch: int) -> CosineSchedule:
    optimizer = config.optimizer
    return CosineSchedule(
        optimizer.learning_rate,
        config.epochs * steps_per_epoch,
        round(optimizer.warmup_epoch * steps_per_epoch),
        optimizer.eta_min,
    )


def _seed_of_step(seed: int, step: int, rank: int) -> int:
    """What dropout and stochastic depth are seeded with at an iteration."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


def _line(row: Mapping[str, Any], *, best: bool) -> str:
    return (
        f"epoch {row['epoch']:>3}  loss {row['train_loss']:.4f}  tpr {row['tpr']:.4f} "
        f"at fpr {row['fpr']:.4f}  auroc {row['auroc']:.4f}{'  best' if best else ''}"
    )
