"""Temperature and shift of a checkpoint's logits, fitted on the held-back training pictures.

The view is `tiles`: the highest of five patches is what cameras act on. Prints what `convert.py`
takes, and what becomes of the scores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from crops import Pool, normalised
from measure import VIEWS, labelled
from numpy.typing import NDArray
from scipy.optimize import minimize
from teach import Difference, session


def top_logits(checkpoint: Path, pool: Pool, split: str) -> tuple[NDArray[np.float64], NDArray]:  # type: ignore[type-arg]
    """The highest of each picture's patches, and the labels."""
    net = session(Difference(checkpoint), 1)
    entries, labels = labelled(pool, split)
    tops = []
    for entry in entries:
        patches = np.stack([normalised(cut) for cut in VIEWS["tiles4"](pool.picture(entry))])
        tops.append(float(net.run(None, {"x": patches})[0].max()))
    return np.array(tops), labels


def fitted(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """(temperature, shift) of least cross entropy, both classes weighing the same."""
    weight = np.where(labels == 1, 0.5 / (labels == 1).mean(), 0.5 / (labels == 0).mean())
    sign = np.where(labels == 1, 1.0, -1.0)

    def loss(point: NDArray[np.float64]) -> float:
        margin = sign * (logits * np.exp(point[0]) + point[1])
        return float((weight * np.logaddexp(0, -margin)).mean())

    scale, shift = minimize(loss, [0.0, 0.0], method="Nelder-Mead").x
    return float(np.exp(-scale)), float(shift)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    args = parser.parse_args()
    logits, labels = top_logits(args.checkpoint, Pool(args.pool), "held")
    temperature, shift = fitted(logits, labels)
    print(f"--temperature {temperature:.3f} --shift {shift:.3f}")
    scores = 1 / (1 + np.exp(-(logits / temperature + shift)))
    for label, name in ((0, "nobody"), (1, "someone")):
        quantiles = np.quantile(scores[labels == label], [0.05, 0.25, 0.5, 0.75, 0.95])
        print(name, " ".join(f"{q:.3f}" for q in quantiles))


if __name__ == "__main__":
    main()
