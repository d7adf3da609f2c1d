"""Linear probe: which trunk is the better start for the student? Logistic regression on the
512 pooled trunk features of whole pictures squeezed to 224, AUROC on val."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from crops import CropSampler, Entry, Pool, normalised
from networks import PPLCNet, load_layout_backbone, load_orientation_backbone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

WHOLE = (0.0, 0.0, 1.0, 1.0)


@torch.inference_mode()
def trunk_features(net: PPLCNet, pool: Pool, entries: list[Entry]) -> np.ndarray:
    sampler = CropSampler(pool, 224, np.random.default_rng(0))
    out = []
    for start in range(0, len(entries), 32):
        batch = [
            normalised(sampler.resized(e, WHOLE, 224, 224)) for e in entries[start : start + 32]
        ]
        out.append(net.maps(torch.from_numpy(np.stack(batch)))[1].mean((2, 3)).numpy())
    return np.concatenate(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--layout", type=Path, required=True, help="layout_cdla.onnx")
    parser.add_argument("--orientation", type=Path, required=True, help="npz")
    parser.add_argument("--pictures", type=int, default=2500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pool = Pool(args.pool)
    rng = np.random.default_rng(0)
    train = [e for e in pool.split("train", "coco_person") if e.label is not None]
    train = [train[i] for i in rng.permutation(len(train))[: args.pictures]]
    val = [e for e in pool.split("val") if e.label is not None]
    for name in ("scratch", "orientation", "layout"):
        torch.manual_seed(0)
        net = PPLCNet().eval()
        if name == "orientation":
            load_orientation_backbone(net, args.orientation)
        elif name == "layout":
            load_layout_backbone(net, args.layout)
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        probe.fit(trunk_features(net, pool, train), [e.label for e in train])
        scores = probe.predict_proba(trunk_features(net, pool, val))[:, 1]
        print(f"{name}: val AUROC {roc_auc_score([e.label for e in val], scores):.4f}", flush=True)


if __name__ == "__main__":
    main()
