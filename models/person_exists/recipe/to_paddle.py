"""Write the npz of `convert.py` as Paddle training weights (`.pdparams`).

Run with the product's environment from the project's root. Then `model distill`/`model train`
with `--pretrained` finishes them, `model export` makes the folder for cameras.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import paddle

from monitor.training.networks import build_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="npz")
    parser.add_argument("--out", type=Path, required=True, help="pdparams")
    args = parser.parse_args()
    net = build_network("PPLCNet_x1_0")
    missing, unexpected = net.set_state_dict(dict(np.load(args.weights)))
    if missing or unexpected:
        raise SystemExit(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    paddle.save(net.state_dict(), str(args.out))


if __name__ == "__main__":
    main()
