"""Training crops with computed labels, and the camera look.

A crop's label follows from the person boxes inside it, not from the picture it was cut from. So
small persons become tiles of a camera's frame, and person-free parts of pictures *with* persons
become hard negatives of the same look: a network can't learn the source instead of the person.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Box = tuple[float, float, float, float]

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)

SURE_SCORE = 0.35
"""A detector's box from here on counts as a person in a picture not labelled nobody."""
SEEN_PART = 0.35
"""A person counts as visible if this part of the box lies inside the crop ..."""
SEEN_AREA = 0.012
"""... and covers this part of the crop."""
WEAK_NEGATIVES = {"scene15_neg": 0.03}
"""Sources whose nobody pictures may hold overlooked persons: P(someone) to train towards."""

SOMEONE_WEIGHTS = {
    "coco_person": 0.52, "vww_coco96": 0.12, "coco_small": 0.04, "coco_vqa100": 0.02,
    "imagenet_sample": 0.08, "humanseg290": 0.07, "helmet_pos": 0.07, "ccp_street": 0.04,
    "fddb_pos": 0.04,
}  # fmt: skip
NOBODY_WEIGHTS = {
    "imagenet_sample": 0.45, "vww_coco96": 0.22, "coco_small": 0.10, "coco_vqa100": 0.05,
    "houses_neg": 0.06, "scene15_neg": 0.06, "raccoon_neg": 0.06,
}  # fmt: skip
CLEAN = 0.3
"""Part of the crops that keep the look they have."""
NIGHT = 0.18
"""Part of the others that become night."""
THINGS = 0.3
"""Part of the nobody crops that are cut around a vehicle, an animal, a piece of furniture."""
CUT_FREE = {"coco_person", "ccp_street", "coco_small"}
"""Sources with persons whose boxes are good enough to cut person-free parts from."""


@dataclass(frozen=True)
class Entry:
    """One picture of the pool: where its pixels are and what is known about persons in it."""

    name: str
    split: str
    source: str
    label: int | None
    offset: int
    height: int
    width: int
    persons: tuple[Box, ...]
    doubtful: tuple[Box, ...]
    objects: tuple[tuple[int, Box], ...] = ()
    """Other things the detector found: COCO class and box."""


@dataclass(frozen=True)
class Crop:
    pixels: Image
    target: float
    """P(someone) to train towards; NaN where the boxes leave it open."""
    source: str = ""
    """Of the picture it was cut from; empty for mosaics and pasted crops."""


class Pool:
    """The decoded pictures of `pool.py`, by split and source."""

    def __init__(self, folder: Path) -> None:
        self.pixels = np.memmap(folder / "pixels.u8", np.uint8, "r")
        self.entries = [_entry(row) for row in json.loads((folder / "index.json").read_text())]

    def picture(self, entry: Entry) -> Image:
        size = entry.height * entry.width * 3
        flat = self.pixels[entry.offset : entry.offset + size]
        return np.asarray(flat).reshape(entry.height, entry.width, 3)

    def split(self, *names: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.split in names]


def _entry(row: dict) -> Entry:  # type: ignore[type-arg]
    true = [tuple(box) for box in row["true_boxes"]]
    found = row["found_boxes"]
    if row["label"] == 0:
        persons, doubtful = [], []
    elif true:
        persons = true
        doubtful = [tuple(b[:4]) for b in found if b[4] > 0.1 and not _any_overlap(b, true)]
    else:
        persons = [tuple(b[:4]) for b in found if b[4] >= SURE_SCORE]
        doubtful = [tuple(b[:4]) for b in found if b[4] < SURE_SCORE]
    return Entry(
        row["name"], row["split"], row["source"], row["label"], row["offset"], row["height"],
        row["width"], tuple(persons), tuple(doubtful),
        tuple((thing[0], tuple(thing[1:5])) for thing in row.get("objects", [])),
    )  # fmt: skip


def _any_overlap(box: list[float], others: list[Box]) -> bool:
    return any(_overlap(tuple(box[:4]), other) > 0.3 * _area(tuple(box[:4])) for other in others)


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _overlap(a: Box, b: Box) -> float:
    return _area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def crop_target(entry: Entry, crop: Box) -> float:
    """P(someone) of a crop by the boxes: 1, 0 (or a source's doubt), NaN if they don't decide."""
    if entry.label == 0:
        return WEAK_NEGATIVES.get(entry.source, 0.0)
    whole = _area(crop)
    touched = False
    for box in entry.persons:
        inside = _overlap(box, crop)
        part, fraction = inside / max(_area(box), 1e-9), inside / whole
        if (part >= SEEN_PART and fraction >= SEEN_AREA) or fraction >= 0.2:
            return 1.0
        touched = touched or part > 0.02
    if entry.label == 1 and whole > 0.75:
        return 1.0
    if touched or not entry.persons or entry.source not in CUT_FREE:
        return float("nan")
    if any(_overlap(box, crop) > 0.02 * _area(box) for box in entry.doubtful):
        return float("nan")
    return 0.0


class CropSampler:
    """Draws training crops, half of them someone, as whole frames, random crops, tiles, mosaics."""

    def __init__(
        self, pool: Pool, size: int, rng: np.random.Generator, unlabelled: float = 0.0
    ) -> None:
        self.pool, self.size, self.rng, self.unlabelled = pool, size, rng, unlabelled
        entries = pool.split("train", "coco_person")
        self.someone = _by_source([e for e in entries if e.label != 0], SOMEONE_WEIGHTS)
        self.nobody = _by_source([e for e in entries if e.label == 0], NOBODY_WEIGHTS)
        self.cut_free = [e for e in entries if e.source in CUT_FREE and e.persons]
        self.unknown = pool.split("unlabelled")
        if unlabelled:
            entries = entries + self.unknown
        self.things: dict[int, list[tuple[Entry, Box]]] = {}
        for entry in entries:
            for kind, box in entry.objects:
                self.things.setdefault(kind, []).append((entry, box))
        often = np.sqrt([len(found) for found in self.things.values()])
        self.kinds = list(self.things)
        self.often = often / often.sum() if self.kinds else often

    def draw(self) -> Crop:
        """One crop of `size` x `size`, before the camera look."""
        kind = self.rng.random()
        if kind < self.unlabelled:
            entry = self.unknown[self.rng.integers(len(self.unknown))]
            return self.cut(entry, self.any_box(entry))
        if kind > 0.96:
            return self.mosaic()
        if kind > 0.92:
            return self.pasted()
        return self.someone_crop() if self.rng.random() < 0.5 else self.nobody_crop()

    def pick(self, table: tuple[list[list[Entry]], NDArray[np.float64]]) -> Entry:
        groups, weights = table
        group = groups[self.rng.choice(len(groups), p=weights)]
        return group[self.rng.integers(len(group))]

    def someone_crop(self) -> Crop:
        for _ in range(8):
            entry = self.pick(self.someone)
            if entry.persons and self.rng.random() < 0.4:
                box = self.person_box(entry)
            else:
                box = self.any_box(entry)
            crop = self.cut(entry, box)
            if crop.target == 1.0:
                break
        return crop

    def thing_crop(self) -> Crop | None:
        """A vehicle, an animal, furniture from near and afar, without a person."""
        for _ in range(12):
            found = self.things[self.kinds[self.rng.choice(len(self.kinds), p=self.often)]]
            entry, thing = found[self.rng.integers(len(found))]
            for _ in range(4):
                box = self.around(entry, thing, 0.08, 0.9)
                if entry.split == "unlabelled" or crop_target(entry, box) < 0.1:
                    return self.cut(entry, box)
        return None

    def nobody_crop(self) -> Crop:
        if self.kinds and self.rng.random() < THINGS:
            crop = self.thing_crop()
            if crop is not None:
                return crop
        if self.rng.random() < 0.6:
            entry = self.pick(self.nobody)
            return self.cut(entry, self.any_box(entry))
        for _ in range(12):
            entry = self.cut_free[self.rng.integers(len(self.cut_free))]
            for _ in range(6):
                box = self.random_box(entry, 0.05, 0.6)
                if crop_target(entry, box) == 0.0:
                    return self.cut(entry, box)
        entry = self.pick(self.nobody)
        return self.cut(entry, self.any_box(entry))

    def any_box(self, entry: Entry) -> Box:
        """Whole frame (squeezed), PULC's centre square, or a random crop."""
        kind = self.rng.random()
        if kind < 0.3:
            x0, y0 = self.rng.uniform(0, 0.06, 2)
            x1, y1 = self.rng.uniform(0.94, 1, 2)
            return (float(x0), float(y0), float(x1), float(y1))
        if kind < 0.5:
            side = min(entry.height, entry.width) * self.rng.uniform(0.82, 1.0)
            w, h = side / entry.width, side / entry.height
            x0 = (1 - w) * np.clip(self.rng.normal(0.5, 0.12), 0, 1)
            y0 = (1 - h) * np.clip(self.rng.normal(0.5, 0.12), 0, 1)
            return (x0, y0, x0 + w, y0 + h)
        return self.random_box(entry, 0.2, 1.0)

    def random_box(self, entry: Entry, low: float, high: float) -> Box:
        area = self.rng.uniform(low, high) * entry.height * entry.width
        aspect = np.exp(self.rng.uniform(np.log(0.7), np.log(1.43)))
        w = min(np.sqrt(area * aspect) / entry.width, 1.0)
        h = min(np.sqrt(area / aspect) / entry.height, 1.0)
        x0, y0 = self.rng.uniform(0, 1 - w), self.rng.uniform(0, 1 - h)
        return (x0, y0, x0 + w, y0 + h)

    def person_box(self, entry: Entry) -> Box:
        """A crop around one person who covers 1 to 30 % of it: the tile of a camera."""
        return self.around(entry, entry.persons[self.rng.integers(len(entry.persons))], 0.01, 0.3)

    def around(self, entry: Entry, thing: Box, low: float, high: float) -> Box:
        """A crop of which `thing` covers `low` to `high`, wherever in it."""
        wanted = np.exp(self.rng.uniform(np.log(low), np.log(high)))
        area = max(_area(thing), 1e-4) * entry.height * entry.width / wanted
        area = max(area, 48 * 48)
        aspect = np.exp(self.rng.uniform(np.log(0.7), np.log(1.43)))
        w = min(np.sqrt(area * aspect) / entry.width, 1.0)
        h = min(np.sqrt(area / aspect) / entry.height, 1.0)
        cx, cy = (thing[0] + thing[2]) / 2, (thing[1] + thing[3]) / 2
        x0 = float(np.clip(cx - w * self.rng.uniform(0.1, 0.9), 0, 1 - w))
        y0 = float(np.clip(cy - h * self.rng.uniform(0.1, 0.9), 0, 1 - h))
        return (x0, y0, x0 + w, y0 + h)

    def cut(self, entry: Entry, box: Box) -> Crop:
        target = crop_target(entry, box)
        if self.rng.random() < 0.08:
            return Crop(self.letterboxed(entry, box), target, entry.source)
        return Crop(self.resized(entry, box, self.size, self.size), target, entry.source)

    def letterboxed(self, entry: Entry, box: Box) -> Image:
        """The crop with its aspect kept, between grey or black bars."""
        high, wide = (box[3] - box[1]) * entry.height, (box[2] - box[0]) * entry.width
        scale = self.size / max(high, wide)
        height, width = (max(round(v * scale), 8) for v in (high, wide))
        shade = 114 if self.rng.random() < 0.6 else 0
        out = np.full((self.size, self.size, 3), shade, np.uint8)
        y, x = (self.size - height) // 2, (self.size - width) // 2
        out[y : y + height, x : x + width] = self.resized(entry, box, height, width)
        return out

    def resized(self, entry: Entry, box: Box, height: int, width: int) -> Image:
        picture = self.pool.picture(entry)
        x0, x1 = int(box[0] * entry.width), max(int(np.ceil(box[2] * entry.width)), 1)
        y0, y1 = int(box[1] * entry.height), max(int(np.ceil(box[3] * entry.height)), 1)
        part = picture[y0 : max(y1, y0 + 2), x0 : max(x1, x0 + 2)]
        way = cv2.INTER_AREA if part.shape[0] > 1.6 * height else cv2.INTER_LINEAR
        return cv2.resize(part, (width, height), interpolation=way)

    def mosaic(self) -> Crop:
        """Four crops in one frame: small persons anywhere, and as often nobody at all."""
        someone = self.rng.random() < 0.5
        count = self.rng.integers(1, 4) if someone else 0
        cells = [self.someone_crop() for _ in range(count)]
        cells += [self.nobody_crop() for _ in range(4 - count)]
        self.rng.shuffle(cells)  # type: ignore[arg-type]
        cx, cy = (int(v) for v in self.rng.uniform(0.35, 0.65, 2) * self.size)
        out = np.empty((self.size, self.size, 3), np.uint8)
        for cell, (ys, xs) in zip(
            cells,
            [(slice(0, cy), slice(0, cx)), (slice(0, cy), slice(cx, None)),
             (slice(cy, None), slice(0, cx)), (slice(cy, None), slice(cx, None))],
            strict=True,
        ):  # fmt: skip
            height, width = out[ys, xs].shape[:2]
            out[ys, xs] = cv2.resize(cell.pixels, (width, height), interpolation=cv2.INTER_AREA)
        targets = [cell.target for cell in cells]
        return Crop(out, 1.0 if 1.0 in targets else float(np.max(targets)))

    def pasted(self) -> Crop:
        """A small patch with a person (or, as often, without) blended into a nobody picture."""
        base = self.nobody_crop()
        out = base.pixels.astype(np.float32)
        someone = self.rng.random() < 0.5
        if someone:
            entry = self.pick(self.someone)
            if not entry.persons:
                return base
            person = entry.persons[self.rng.integers(len(entry.persons))]
            w, h = person[2] - person[0], person[3] - person[1]
            grow = self.rng.uniform(0.02, 0.25, 4)
            box = (max(person[0] - grow[0] * w, 0), max(person[1] - grow[1] * h, 0),
                   min(person[2] + grow[2] * w, 1), min(person[3] + grow[3] * h, 1))  # fmt: skip
            if w * entry.width < 12 or h * entry.height < 24:
                return base
        else:
            entry = self.pick(self.nobody)
            box = self.random_box(entry, 0.05, 0.9)
            w, h = (box[2] - box[0]) * self.rng.uniform(0.4, 1.2), box[3] - box[1]
        tall = self.rng.uniform(0.18, 0.6) * self.size
        wide = tall * (w * entry.width) / (h * entry.height)
        height, width = (int(np.clip(v, 8, self.size * 0.8)) for v in (tall, wide))
        patch = self.resized(entry, box, height, width).astype(np.float32)
        alpha = _feather(height, width)
        y, x = self.rng.integers(0, self.size - height), self.rng.integers(0, self.size - width)
        region = out[y : y + height, x : x + width]
        region += alpha * (patch - region)
        if someone:
            return Crop(out.astype(np.uint8), 1.0)
        return Crop(out.astype(np.uint8), base.target)


def _feather(height: int, width: int) -> NDArray[np.float32]:
    ys = np.minimum(np.arange(height), np.arange(height)[::-1])[:, None] / (0.12 * height)
    xs = np.minimum(np.arange(width), np.arange(width)[::-1])[None] / (0.12 * width)
    return np.clip(np.minimum(ys, xs) + 0.15, 0, 1).astype(np.float32)[:, :, None]


def _by_source(
    entries: list[Entry], weights: dict[str, float]
) -> tuple[list[list[Entry]], NDArray[np.float64]]:
    groups = {name: [e for e in entries if e.source == name] for name in weights}
    names = [name for name, group in groups.items() if group]
    share = np.array([weights[name] for name in names])
    return [groups[name] for name in names], share / share.sum()


def turned(image: Image, rng: np.random.Generator) -> Image:
    """Mirrored half of the time, tilted a fifth of the time."""
    size = image.shape[0]
    if rng.random() < 0.5:
        image = image[:, ::-1]
    if rng.random() < 0.2:
        turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.normal(0, 8), rng.uniform(1, 1.15))
        image = cv2.warpAffine(image, turn, (size, size), borderMode=cv2.BORDER_REFLECT_101)
    return image


def camera_look(image: Image, rng: np.random.Generator) -> Image:
    """What cameras and their encoders do: grey or IR, low light, noise, blur, JPEG, lettering."""
    if rng.random() < CLEAN:
        return image
    size = image.shape[0]
    if rng.random() < 0.15:
        small = int(size * rng.uniform(0.25, 0.6))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    out = image.astype(np.float32)
    out = _night(out, rng) if rng.random() < NIGHT else colours(out, rng)
    if rng.random() < 0.15:
        out = _blurred(out, rng)
    if rng.random() < 0.2:
        grain = rng.standard_normal((size, size, 1 if rng.random() < 0.5 else 3), np.float32)
        out += grain * rng.uniform(2, 14)
    out8 = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.06:
        out8 = _lettered(out8, rng)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))]
        out8 = cv2.imdecode(cv2.imencode(".jpg", out8, quality)[1], cv2.IMREAD_COLOR)
    return out8


def _night(out: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Grey, dark, little contrast, much noise; sometimes an infrared lamp."""
    grey = (out @ rng.dirichlet((6, 5, 2)).astype(np.float32))[:, :, None]
    if rng.random() < 0.4:
        grey = grey * _lamp(out.shape[0], rng)
    dark = grey * rng.uniform(0.15, 0.7) + rng.uniform(0, 30)
    dark += rng.standard_normal(grey.shape, np.float32) * rng.uniform(1, 12)
    return np.repeat(dark, 3, 2)


def colours(out: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    if rng.random() < 0.7:
        out = (out - 128) * rng.uniform(0.65, 1.4) + 128 + rng.uniform(-35, 35)
    kind = rng.random()
    if kind < 0.22:
        mix = rng.dirichlet((4, 6, 3)).astype(np.float32)
        out = np.repeat((out @ mix)[:, :, None], 3, 2)
    elif kind < 0.6:
        grey = out.mean(2, keepdims=True)
        out = grey + (out - grey) * rng.uniform(0.2, 1.7)
        out = out * rng.uniform(0.85, 1.15, 3).astype(np.float32)
    if rng.random() < 0.25:
        low, high = (0.5, 1.0) if rng.random() < 0.4 else (1.0, 2.4)
        out = 255 * (np.clip(out, 0, 255) / 255) ** rng.uniform(low, high)
        if rng.random() < 0.3:
            out = out * rng.uniform(0.3, 0.8)
    if rng.random() < 0.1:
        out = out * _lamp(out.shape[0], rng)
    return out.astype(np.float32)


def _lamp(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """The bright centre and dark corners of an infrared lamp."""
    cy, cx = rng.uniform(0.3, 0.7, 2) * size
    ys, xs = np.mgrid[:size, :size].astype(np.float32)
    far = ((ys - cy) ** 2 + (xs - cx) ** 2) / (size * rng.uniform(0.5, 1.0)) ** 2
    return (0.25 + rng.uniform(0.9, 1.3) * np.exp(-far))[:, :, None].astype(np.float32)


def _blurred(out: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    if rng.random() < 0.6:
        return cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 2.0)))
    length = int(rng.integers(3, 9))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1.0 / length
    if rng.random() < 0.5:
        kernel = np.ascontiguousarray(kernel.T)
    return cv2.filter2D(out, -1, kernel)


def _lettered(image: Image, rng: np.random.Generator) -> Image:
    """A camera's time stamp."""
    image = np.ascontiguousarray(image)
    year, month, day = rng.integers((2010, 1, 1), (2030, 13, 29))
    text = f"CAM{rng.integers(1, 17)} {year}-{month:02}-{day:02}"
    shade = 255 if rng.random() < 0.8 else 0
    y = int(image.shape[0] * rng.choice([0.06, 0.97]))
    at = (int(rng.uniform(0, 0.5) * image.shape[1]), y)
    scale = image.shape[0] / 224 * float(rng.uniform(0.3, 0.5))
    font = cv2.FONT_HERSHEY_SIMPLEX
    return cv2.putText(image, text, at, font, scale, (shade,) * 3, 1, cv2.LINE_AA)


def erased(image: Image, rng: np.random.Generator, chance: float = 0.15) -> Image:
    """Random erasing with noise or one colour."""
    if rng.random() >= chance:
        return image
    size = image.shape[0]
    h, w = (rng.uniform(0.12, 0.45, 2) * size).astype(int)
    y, x = rng.integers(0, size - h), rng.integers(0, size - w)
    image = np.ascontiguousarray(image)
    shape = (h, w, 3) if rng.random() < 0.5 else (1, 1, 3)
    image[y : y + h, x : x + w] = rng.integers(0, 256, shape, dtype=np.uint8)
    return image


def normalised(image: Image) -> NDArray[np.float32]:
    """PaddleClas normalisation, H W 3 uint8 to 3 H W float32."""
    scaled = (image.astype(np.float32) * np.float32(1 / 255) - MEAN) / STD
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))
