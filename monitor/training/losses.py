"""Losses as PaddleClas defines them."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F  # noqa: N812 (Paddle's own name for it)

EPSILON = 1e-12
"""Keeps logarithms finite in the DML loss (PaddleClas ppcls/loss/dmlloss.py)."""


def cross_entropy(
    logits: paddle.Tensor,
    labels: paddle.Tensor,
    *,
    smoothing: float = 0.0,
    class_weights: paddle.Tensor | None = None,
) -> paddle.Tensor:
    """Mean cross entropy of logits (n, classes) with labels int64 (n,); a scalar.

    `smoothing` moves that share of the label's mass evenly over all classes. With
    `class_weights` (classes,) it is the mean weighted by each label's weight.
    """
    classes = logits.shape[1]
    target = F.one_hot(labels, classes)
    if smoothing > 0.0:
        target = F.label_smooth(target, epsilon=smoothing)
    losses = -(target * F.log_softmax(logits, axis=1)).sum(axis=1)
    if class_weights is None:
        return losses.mean()
    weights = paddle.gather(class_weights, labels)
    return (losses * weights).sum() / weights.sum()


def dml_loss(student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """Symmetric KL divergence of two probability arrays (n, classes); a scalar.

    PaddleClas's DMLLoss: `(kld(s, t) + kld(t, s)) / 2` with
    `kld(x, t) = t · log((t + ε) / (x + ε)) · classes`, averaged over all elements.
    """
    classes = student.shape[1]
    forward = teacher * paddle.log((teacher + EPSILON) / (student + EPSILON))
    backward = student * paddle.log((student + EPSILON) / (teacher + EPSILON))
    return ((forward + backward) * (classes / 2.0)).mean()


def hint_loss(features: paddle.Tensor, hints: paddle.Tensor) -> paddle.Tensor:
    """1 − cosine similarity of adapted features and a teacher's (n, d), averaged; in [0, 2]."""
    return (1.0 - F.cosine_similarity(features, hints, axis=1)).mean()
