"""How good a network is on the validation pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F  # noqa: N812 (Paddle's own name for it)
from numpy.typing import NDArray
from paddle import nn

from monitor.training.dataset import EvalBatches
from monitor.training.metrics import auroc, average_precision, tpr_at_fpr


@dataclass(frozen=True, slots=True)
class Verdict:
    """One evaluation; `tpr` at the smallest grid threshold with FPR ≤ the bound."""

    tpr: float
    fpr: float
    threshold: float
    auroc: float
    average_precision: float
    loss: float

    def better_than(self, other: Verdict | None) -> bool:
        """Whether this one, the later, is to be kept.

        By TPR; PaddleClas lets the later epoch win a tie, here the AUROC decides a tie first:
        with few negatives many epochs share a TPR.
        """
        if other is None:
            return True
        return (self.tpr, self.auroc) >= (other.tpr, other.auroc)

    def as_row(self) -> dict[str, Any]:
        """For histories and reports."""
        return asdict(self)


def predict(
    network: nn.Layer, batches: EvalBatches, progress: Callable[[int], None] | None = None
) -> NDArray[np.float32]:
    """P(someone) of every picture in order, float32 (n,); the network's mode is kept."""
    was_training = network.training
    network.eval()
    scores = []
    with paddle.no_grad():
        for batch in batches:
            probabilities = F.softmax(network(paddle.to_tensor(batch.pictures)), axis=1)
            scores.append(probabilities.numpy()[:, 1])
            if progress is not None:
                progress(len(batch.labels))
    if was_training:
        network.train()
    return np.concatenate(scores).astype(np.float32)


def judge(
    network: nn.Layer,
    batches: EvalBatches,
    max_fpr: float,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Score the validation pictures and measure."""
    scores = predict(network, batches, progress)
    point = tpr_at_fpr(scores, batches.labels, max_fpr)
    right = np.where(batches.labels == 1, scores, 1.0 - scores).astype(np.float64)
    return Verdict(
        tpr=point.tpr,
        fpr=point.fpr,
        threshold=point.threshold,
        auroc=auroc(scores, batches.labels),
        average_precision=average_precision(scores, batches.labels),
        loss=float(-np.log(np.maximum(right, 1e-12)).mean()),
    )
