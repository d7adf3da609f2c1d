"""Write a checkpoint's averaged student weights as npz with PaddleClas's parameter names.

`--temperature` divides the logits and `--shift` is then added to someone's, both folded into the
classifier: that moves thresholds to handy numbers and leaves the order of the scores alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

RENAMED = {"running_mean": "_mean", "running_var": "_variance"}


def paddle_weights(
    state: dict[str, torch.Tensor], temperature: float, shift: float
) -> dict[str, np.ndarray]:
    """Student weights as Paddle keeps them: linear weights are inputs x outputs."""
    out: dict[str, np.ndarray] = {}
    distilled = any(name.startswith("student.") for name in state)
    for full, tensor in state.items():
        if full.endswith("num_batches_tracked") or (distilled and not full.startswith("student.")):
            continue
        *path, last = full.removeprefix("student.").split(".")
        value = tensor.float().numpy()
        if path == ["fc"]:
            value = (value.T if last == "weight" else value) / temperature
            if last == "bias":
                value = value + np.array([-shift / 2, shift / 2])
        out[".".join([*path, RENAMED.get(last, last)])] = np.ascontiguousarray(value, np.float32)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="npz")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--shift", type=float, default=0.0)
    args = parser.parse_args()
    state = torch.load(args.checkpoint)["average"]
    np.savez(args.out, **paddle_weights(state, args.temperature, args.shift))


if __name__ == "__main__":
    main()
