"""Turn the npz of `convert.py` (or Paddle weights) into a deployable Paddle Inference model.

Run with the product's environment from the project's root.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import paddle
from paddle.static import InputSpec

from monitor.training.networks import build_network


class WithSoftmax(paddle.nn.Layer):
    def __init__(self, net: paddle.nn.Layer) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.nn.functional.softmax(self.net(x), axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="npz or pdparams")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--pdparams", type=Path, help="also write the training weights here")
    args = parser.parse_args()
    net = build_network("PPLCNet_x1_0")
    state = (
        paddle.load(str(args.weights))
        if args.weights.suffix == ".pdparams"
        else dict(np.load(args.weights))
    )
    missing, unexpected = net.set_state_dict(state)
    if missing or unexpected:
        raise SystemExit(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    if args.pdparams:
        paddle.save(net.state_dict(), str(args.pdparams))
    model = WithSoftmax(net)
    model.eval()
    spec = [InputSpec([None, 3, 224, 224], "float32", name="x")]
    args.out.mkdir(parents=True, exist_ok=True)
    paddle.jit.save(paddle.jit.to_static(model, input_spec=spec), str(args.out / "inference"))


if __name__ == "__main__":
    main()
