"""Let the teachers look at many crops once: what the student is distilled from.

EfficientNet-Lite (fine-tuned by `train.py`) knows scenes and animals, PoseNet knows where the
joints of persons are, YOLOX-nano where their boxes are. Of the crops drawn, those the present
student gets wrong are kept first. Written: `crops.bin` (JPEG after JPEG); `heat.f16` (PoseNet's
joint heat, stride 16), `mask.f16` (how much of each cell of 16 x 16 pixels persons' boxes cover),
`last.f16` and `pooled.f16` (EfficientNet's features, stride 32, and pooled); `crops.npz`: where
each JPEG starts, its source, the computed target (NaN where open), the teachers' scores, the
shapes. Teachers see the crops as they are, the student will see them with the camera look.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import torch
from crops import Crop, CropSampler, Image, Pool, normalised
from networks import PPLCNet, Teacher
from numpy.typing import NDArray
from pool import DETECTOR_SIDE, Detector
from posenet import PoseNet
from torch import Tensor, nn

SIDE = 224
BATCH = 32
CELLS = SIDE // 16
HINTS = ("heat", "mask", "last", "pooled")
SCORES = ("scene", "joints", "boxes")
"""Logits of someone by EfficientNet, PoseNet and YOLOX."""
MASK_SCORE = 0.08


class Scene(nn.Module):
    def __init__(self, version: int, checkpoint: Path) -> None:
        super().__init__()
        self.teacher = Teacher(version)
        self.teacher.load_state_dict(torch.load(checkpoint)["average"])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        last = self.teacher.maps(x)[1]
        pooled = self.teacher.pooled(last)
        logits = self.teacher.fc(pooled)
        return logits[:, 1] - logits[:, 0], last, pooled


class Joints(nn.Module):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.net = PoseNet(folder)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        heat = self.net(x)[1]
        return self.net.presence(heat), heat


class Difference(nn.Module):
    """The student's logit of someone."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__()
        state = torch.load(checkpoint)["average"]
        own = {n.removeprefix("student."): v for n, v in state.items() if not n.startswith("hint")}
        self.net = PPLCNet()
        self.net.load_state_dict(own)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.net(x)
        return logits[:, 1] - logits[:, 0]


def session(net: nn.Module, outputs: int) -> ort.InferenceSession:
    """ONNX Runtime folds BatchNorm and takes half of PyTorch's time."""
    file, names = io.BytesIO(), [f"out{i}" for i in range(outputs)]
    with torch.no_grad():
        torch.onnx.export(
            net.eval(), (torch.zeros(2, 3, SIDE, SIDE),), file, input_names=["x"],
            output_names=names, dynamic_axes={n: {0: "n"} for n in ("x", *names)},
            opset_version=17, dynamo=False,
        )  # fmt: skip
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])


def persons(detector: Detector, crop: Image) -> tuple[float, NDArray[np.float32]]:
    """Logit of the surest person, and how far persons' boxes cover each cell."""
    big = cv2.resize(crop, (DETECTOR_SIDE, DETECTOR_SIDE), interpolation=cv2.INTER_LINEAR)
    boxes, scores = detector.raw(big[:, :, ::-1])
    score = scores[:, 0]
    top = float(np.clip(score.max(), 1e-4, 1 - 1e-4))
    fine = 8 * CELLS
    canvas = np.zeros((fine, fine), np.float32)
    for i in np.argsort(score)[-60:]:
        if score[i] >= MASK_SCORE:
            scaled = np.clip(boxes[i] / DETECTOR_SIDE * fine, 0, fine)
            (x0, y0), (x1, y1) = scaled[:2].astype(int), np.ceil(scaled[2:]).astype(int)
            canvas[y0:y1, x0:x1] = np.maximum(canvas[y0:y1, x0:x1], score[i])
    return float(np.log(top / (1 - top))), canvas.reshape(CELLS, 8, CELLS, 8).mean((1, 3))


def hard_crops(
    sampler: CropSampler, student: ort.InferenceSession, rng: np.random.Generator
) -> Iterator[tuple[list[Crop], NDArray[np.float32]]]:
    """Batches of crops, the likelier kept the more the student's score is off."""
    while True:
        crops = [sampler.draw() for _ in range(BATCH)]
        pictures = np.stack([normalised(crop.pixels) for crop in crops])
        scores = 1 / (1 + np.exp(-student.run(None, {"x": pictures})[0]))
        targets = np.array([crop.target for crop in crops])
        off = np.where(np.isnan(targets), 0.5, np.abs(scores - targets))
        kept = np.flatnonzero(rng.random(BATCH) < 0.3 + 1.2 * off)
        if len(kept):
            yield [crops[i] for i in kept], np.ascontiguousarray(pictures[kept])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of train.py")
    parser.add_argument("--network", default="lite0")
    parser.add_argument("--posenet", type=Path, required=True, help="folder of posenet.json, .bin")
    parser.add_argument("--detector", type=Path, required=True, help="yolox_nano.onnx")
    parser.add_argument("--student", type=Path, required=True, help="checkpoint: which are hard")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--crops", type=int, default=10000)
    parser.add_argument("--unlabelled", type=float, default=0.14)
    parser.add_argument("--seed", type=int, default=1000)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(args.seed)
    scene = session(Scene(int(args.network[4:]), args.teacher), 3)
    joints = session(Joints(args.posenet), 2)
    boxes = Detector(args.detector, 1)
    sampler = CropSampler(Pool(args.pool), SIDE, rng, args.unlabelled)
    starts, targets, sources = [0], [], []
    scores: dict[str, list[float]] = {name: [] for name in SCORES}
    shapes: dict[str, tuple[int, ...]] = {}
    with ExitStack() as files:
        blob = files.enter_context((args.out / "crops.bin").open("wb"))
        maps = {n: files.enter_context((args.out / f"{n}.f16").open("wb")) for n in HINTS}
        for crops, batch in hard_crops(sampler, session(Difference(args.student), 1), rng):
            by_scene, last, pooled = scene.run(None, {"x": batch})
            by_joints, heat = joints.run(None, {"x": batch})
            found = [persons(boxes, np.ascontiguousarray(crop.pixels)) for crop in crops]
            mask = np.stack([cover for _, cover in found])[:, None]
            for name, part in zip(HINTS, (heat, mask, last, pooled), strict=True):
                maps[name].write(np.ascontiguousarray(part, np.float16).tobytes())
                shapes[name] = part.shape[1:]
            for name, values in zip(
                SCORES, (by_scene, by_joints, [logit for logit, _ in found]), strict=True
            ):
                scores[name].extend(float(value) for value in values)
            for crop in crops:
                quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
                pixels = np.ascontiguousarray(crop.pixels)
                jpeg = cv2.imencode(".jpg", pixels, quality)[1].tobytes()
                starts.append(starts[-1] + blob.write(jpeg))
                targets.append(crop.target)
                sources.append(crop.source)
            if len(targets) >= args.crops:
                break
    np.savez(
        args.out / "crops.npz",
        starts=np.array(starts),
        targets=np.array(targets, np.float32),
        sources=np.array(sources),
        **{name: np.array(values, np.float32) for name, values in scores.items()},
        **{name: np.array(shape) for name, shape in shapes.items()},
    )


if __name__ == "__main__":
    main()
