"""Write crops and the teachers' scores as the lists `model distill` reads: the finish in Paddle.

Writes `crops/*.jpg`, `list.txt` (path and computed label, -1 where open) and `soft.txt` (path and
the teachers' P(someone), mixed with the computed label).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from known import Known

SMOOTH = 0.03
"""As `distill.py` smooths: scores stay apart at the ends."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--taught", type=Path, nargs="+", required=True, help="folders of teach.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--crops", type=int, default=2400)
    parser.add_argument("--hard", type=float, default=0.25, help="part of the computed label")
    args = parser.parse_args()
    known = Known(args.taught)
    targets, someone = known.targets, known.someone
    (args.out / "crops").mkdir(parents=True, exist_ok=True)
    listed, soft = [], []
    for row in np.random.default_rng(0).permutation(len(targets))[: args.crops]:
        name = f"crops/{row:06}.jpg"
        (args.out / name).write_bytes(known.jpeg(row).tobytes())
        target, score = float(targets[row]), float(someone[row])
        open_label = np.isnan(target)
        mixed = score if open_label else (1 - args.hard) * score + args.hard * target
        listed.append(f"{name} {-1 if open_label else round(target)}\n")
        soft.append(f"{name} {SMOOTH + (1 - 2 * SMOOTH) * mixed:.5f}\n")
    (args.out / "list.txt").write_text("".join(listed))
    (args.out / "soft.txt").write_text("".join(soft))


if __name__ == "__main__":
    main()
