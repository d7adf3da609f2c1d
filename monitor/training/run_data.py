"""The pictures of a run: read, checked and mixed before the first batch."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.errors import ConfigError
from monitor.training.config import TrainConfig
from monitor.training.dataset import EvalBatches, Mixture, TrainBatches, load_entries, mix
from monitor.training.lists import require_both_classes
from monitor.training.pictures import PictureCache
from monitor.training.progress import Reporter
from monitor.training.sampler import epoch_length
from monitor.training.transforms import EvalTransform, TrainTransform


@dataclass(frozen=True, slots=True)
class RunData:
    """What is trained on and judged by; `steps_per_epoch` batches for each process."""

    mixture: Mixture
    batches: TrainBatches
    judged: EvalBatches
    steps_per_epoch: int


def load_run_data(config: TrainConfig, world: int, *, check: bool, report: Reporter) -> RunData:
    """Read all lists for `world` processes; with `check`, decode every picture once.

    Raises InputError for lists and pictures that cannot be used, and where a class is missing;
    ConfigError if an epoch is smaller than a batch and `drop_last` leaves nothing of it.
    """
    data = config.data
    *trained_on, judged_by = [
        load_entries(
            source,
            check=check or data.skip_broken,
            skip_broken=data.skip_broken,
            workers=data.workers,
            report=report,
        )
        for source in (*data.train, data.val)
    ]
    require_both_classes(judged_by, str(data.val.list))
    mixture = mix(data, trained_on)
    batches = TrainBatches(
        mixture,
        TrainTransform(config.augment),
        PictureCache(data.cache_side),
        seed=config.seed,
        batch_size=data.batch_size,
        workers=data.workers,
        drop_last=data.drop_last,
    )
    judged = EvalBatches(
        judged_by,
        EvalTransform(config.eval),
        PictureCache(),
        batch_size=config.eval.batch_size,
        workers=data.workers,
    )
    shown = epoch_length(mixture.weights)
    steps = batches.count(-(-shown // world))
    if steps == 0:
        raise ConfigError(
            f"an epoch of {shown} pictures is smaller than a batch",
            where="data.batch_size",
            remedy="lower it, or list more pictures in data.train",
        )
    report.say(
        f"{len(mixture.samples)} training pictures, {shown} an epoch, {steps} batches; "
        f"{len(judged_by)} to judge by"
    )
    return RunData(mixture, batches, judged, steps)
