"""Decode every picture once and find its persons: the pool that crops are cut from.

Writes `pixels.u8` (all RGB pictures one after the other) and `index.json` (one entry a picture).
Boxes come from the labels where they are true (`coco_person`), else from a YOLOX-nano detector,
which also finds the things that are easily taken for persons. One in 14 groups of like pictures
is held back, to choose weights and to calibrate by.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

LONGEST_SIDE = 512
DETECTOR_SIDE = 416
KEEP_SCORE = 0.05
THING_SCORE = 0.3
HELD_OF_1000 = 70
SPLITS = ("train", "coco_person", "val", "test_cctv")


@dataclass
class Picture:
    """One picture of the pool. `label` is 1, 0 or None (unknown, small persons only)."""

    name: str
    split: str
    source: str
    label: int | None
    fraction: float | None = None
    offset: int = 0
    height: int = 0
    width: int = 0
    true_boxes: list[list[float]] = field(default_factory=list)
    """x0 y0 x1 y1 in fractions."""
    found_boxes: list[list[float]] = field(default_factory=list)
    """x0 y0 x1 y1 score, from the detector."""
    objects: list[list[float]] = field(default_factory=list)
    """COCO class, x0 y0 x1 y1, score: what else the detector found in a training picture."""


class Detector:
    """YOLOX-nano (416, BGR 0-255, padded at the bottom and right with 114)."""

    def __init__(self, path: Path, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        grids, strides = [], []
        for stride in (8, 16, 32):
            side = DETECTOR_SIDE // stride
            ys, xs = np.mgrid[:side, :side]
            grids.append(np.stack([xs, ys], -1).reshape(-1, 2))
            strides.append(np.full((side * side, 1), stride))
        self.grid = np.concatenate(grids).astype(np.float32)
        self.stride = np.concatenate(strides).astype(np.float32)

    def raw(self, bgr: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes (n, 4) x0 y0 x1 y1 in pixels and scores (n, 80) of a 416 x 416 picture."""
        tensor = np.ascontiguousarray(bgr.transpose(2, 0, 1), np.float32)[None]
        out = self.session.run(None, {self.input: tensor})[0][0]
        centre = (out[:, :2] + self.grid) * self.stride
        half = np.exp(out[:, 2:4]) * self.stride / 2
        boxes = np.concatenate([centre - half, centre + half], 1)
        return boxes, out[:, 4:5] * out[:, 5:]

    def __call__(self, rgb: NDArray[np.uint8]) -> tuple[list[list[float]], list[list[float]]]:
        """Persons (x0 y0 x1 y1 score) and other things (class x0 y0 x1 y1 score), in fractions
        of the picture, after non-maximum suppression."""
        height, width = rgb.shape[:2]
        scale = DETECTOR_SIDE / max(height, width)
        new = (round(width * scale), round(height * scale))
        canvas = np.full((DETECTOR_SIDE, DETECTOR_SIDE, 3), 114, np.uint8)
        small = cv2.resize(rgb, new, interpolation=cv2.INTER_LINEAR)
        canvas[: new[1], : new[0]] = small[:, :, ::-1]
        boxes, scores = self.raw(canvas)
        best = scores.argmax(1)
        top = np.where(best > 0, scores.max(1), 0)
        persons = [
            [*_fractions(boxes[i], new), round(float(scores[i, 0]), 4)]
            for i in _kept(boxes, scores[:, 0], KEEP_SCORE)
        ]
        things = [
            [int(best[i]), *_fractions(boxes[i], new), round(float(top[i]), 4)]
            for i in _kept(boxes, top, THING_SCORE)
        ]
        return persons, things


def _kept(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], least: float
) -> NDArray[np.int64]:
    rows = np.flatnonzero(scores > least)
    if not len(rows):
        return rows
    corners = np.concatenate([boxes[rows, :2], boxes[rows, 2:] - boxes[rows, :2]], 1)
    chosen = cv2.dnn.NMSBoxes(corners.tolist(), scores[rows].tolist(), least, 0.5)
    return rows[np.array(chosen).reshape(-1)]


def _fractions(box: NDArray[np.float32], size: tuple[int, int]) -> list[float]:
    clipped = np.clip(box / np.array([*size, *size]), 0, 1)
    return [round(float(v), 4) for v in clipped]


def held_back(name: str, group: str) -> bool:
    """By the picture's COCO number, its group of duplicates, or its name."""
    number = re.search(r"0000\d{8}", name)
    key = number.group(0) if number else group or name
    return zlib.crc32(key.encode()) % 1000 < HELD_OF_1000


def listed(data: Path) -> list[tuple[Path, Picture]]:
    """All pictures of the data folder with what the label files say about them."""
    out: list[tuple[Path, Picture]] = []
    for split in SPLITS:
        with (data / split / "labels.csv").open() as rows:
            for row in csv.DictReader(rows):
                label = int(row["label"]) if row["label"] in "01" else None
                name = Path(row["path"]).name
                source = name.split("__")[0] if "__" in name else split
                fraction = row.get("max_person_box_fraction") or None
                held = split in SPLITS[:2] and held_back(name, row.get("dup_group") or "")
                picture = Picture(
                    name, "held" if held else split, source, label,
                    float(fraction) if fraction else None,
                )  # fmt: skip
                for text in (row.get("person_boxes_cxcywh") or "").split(";"):
                    if text.strip():
                        x, y, w, h = (float(v) for v in text.split())
                        picture.true_boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
                out.append((data / split / row["path"], picture))
    unlabelled = sorted((data / "unlabelled").iterdir())
    out.extend((p, Picture(p.name, "unlabelled", p.name.split("__")[0], None)) for p in unlabelled)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, val/, ...")
    parser.add_argument("--detector", type=Path, required=True, help="yolox_nano.onnx")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pool")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    detector = Detector(args.detector, args.threads)
    pictures: list[Picture] = []
    offset = 0
    with (args.out / "pixels.u8").open("wb") as pixels:
        for path, picture in listed(args.data):
            bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if bgr is None:
                print(f"left out, unreadable: {path}")
                continue
            scale = LONGEST_SIDE / max(bgr.shape[:2])
            if scale < 1:
                bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            rgb = np.ascontiguousarray(bgr[:, :, ::-1])
            picture.offset, (picture.height, picture.width) = offset, rgb.shape[:2]
            picture.found_boxes, things = detector(rgb)
            picture.objects = things if picture.split not in SPLITS[2:] else []
            pixels.write(rgb.tobytes())
            offset += rgb.nbytes
            pictures.append(picture)
    (args.out / "index.json").write_text(json.dumps([asdict(p) for p in pictures]))
    print(f"{len(pictures)} pictures, {offset / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
