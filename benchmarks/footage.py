"""Days of cameras made of stills: what the network scores on them, composed into footage.

    python -m benchmarks.footage --list stills/labels.csv

Every still of a labelled list (CSV with `path`, `label` and `max_person_box_fraction`) stands for
what a camera shows. It is scored twice in the default view, by day and by infrared (grey,
flatter, darker at the corners), each with other sensor noise, exposure, JPEG blocks and a
camera that trembles by a pixel or two. What the scores do over time is then AR(1) noise (2 s)
about the still's mean log-odds, with the spread measured on the still.

* *Empty footage*: every still without a person is a camera that watches it for `--hours`. Light
  changes between day and infrared every half hour; for a second the scores mean nothing then.
* *Visits*: every still with a person is one visit of `--stay` seconds to the camera of an empty
  still. They are sampled as decoding is by default: every two seconds while presence is settled
  (a camera's keyframes), five times a second while it is not.

* *Things*: every still without a person is, besides, one visit of something that moves and is
  nobody (its score, a blob's motion) to the camera of another empty still. What makes an empty
  place score high (shelves, statues) does not move, but dogs that do are harder than most places:
  `--things` takes photographs of animals, vehicles and the like for further visits, *photos*.
  No camera-week has a known number of either, so they are no false events but shares of their own.

The stills are split in two by a hash of their `dup_group` (else of their path): settings are tuned
on the half `tune` and reported on the half `report`; calibration (Platt) is fitted on the half that
is not measured.

In the picture, an empty still stands still, and who visits it moves: by the cells of a blob as
large as the person's box. Scores come from the network, motion from there: that somebody's motion
is seen in pictures is tested elsewhere (`tests/presence/test_background.py`).
"""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from pydantic import SecretStr
from rich.console import Console
from rich.progress import track

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.clock import Stamp
from monitor.config.camera import CameraConfig, SourceConfig, ViewKind
from monitor.config.guards import BackgroundConfig, GuardConfig
from monitor.config.presence import (
    CalibrationConfig,
    EvidenceConfig,
    PresenceConfig,
    PresenceMode,
)
from monitor.imaging.jpeg import read_picture
from monitor.imaging.views import cut
from monitor.inference.backend import Backend, open_predictor
from monitor.inference.model import DEFAULT_MODEL, ModelInfo
from monitor.messages import (
    Attention,
    CameraHealth,
    EndReason,
    Frame,
    HealthCategory,
    Picture,
    Scene,
    Score,
)
from monitor.presence import PresenceRoom
from monitor.presence.metrics import Comparison, Span, compare, poisson_bound, total
from monitor.review.reel import Told
from monitor.training.labelled import read_labelled

EPOCH = Stamp(0.0, datetime(2026, 3, 1, tzinfo=UTC))
VARIANTS = 2
NOISE_LASTS = 2.0
LEAST_SPREAD = 0.3

SMALLEST, LARGE = 0.03, 0.1
"""Shares of the picture: persons below the first are no visits, above the second large ones."""

WEEK = 7 * 86400.0
LIGHT_LASTS, LEARNED_AFTER = 1800.0, 900.0
LATER_SHARE = 1.0 - LEARNED_AFTER / LIGHT_LASTS
"""Seconds of each light; seconds after which the background of a new light is learned, so that
events that begin later are counted apart; and the share of the time that this is."""

NO_PICTURE = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True)
class Still:
    """A still's scores by day and by infrared; `share`: the largest person's box."""

    name: str
    someone: bool
    share: float | None
    day: tuple[float, ...]
    infrared: tuple[float, ...]

    def odds(self, infrared: bool) -> tuple[float, float]:
        """Mean and standard deviation of the log-odds."""
        odds = _odds(self.infrared if infrared else self.day)
        return float(odds.mean()), max(LEAST_SPREAD, float(odds.std(ddof=1)))


def _odds(scores: Sequence[float]) -> NDArray[np.float64]:
    held = np.clip(scores, 1e-4, 1.0 - 1e-4)
    return np.asarray(np.log(held / (1.0 - held)))


def variant(picture: Picture, rng: np.random.Generator, *, infrared: bool) -> Picture:
    """The same view a moment later."""
    height, width = picture.shape[:2]
    scale = min(1.0, 960 / max(height, width))
    if scale < 1.0:
        size = round(width * scale), round(height * scale)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = picture.shape[:2]
    dx, dy = rng.integers(0, 3, 2)
    seen = picture[dy : height - 2 + dy, dx : width - 2 + dx].astype(np.float32)
    if infrared:
        grey = seen @ np.array([0.4, 0.4, 0.2], np.float32)
        y, x = np.mgrid[-1 : 1 : grey.shape[0] * 1j, -1 : 1 : grey.shape[1] * 1j]
        grey = (grey * 0.75 + 25.0) * (1.0 - 0.3 * (x**2 + y**2) / 2)
        seen = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    noise = rng.standard_normal((*seen.shape[:2], 1 if infrared else 3), np.float32)
    seen = seen * np.float32(rng.normal(1.0, 0.04)) + noise * np.float32(8.0 if infrared else 3.0)
    bgr = np.clip(seen, 0, 255).astype(np.uint8)[..., ::-1]
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 75])
    decoded = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


def scored_stills(list_file: Path, model: Path, view: ViewKind, cache: Path) -> list[Still]:
    """Score all stills, or take them from the cache of the same list, model and view."""
    info = ModelInfo.load(model)
    key = f"{list_file.resolve()}|{info.model_id}|{view.value}|{VARIANTS}"
    if cache.exists():
        content = json.loads(cache.read_text())
        if content["key"] == key:
            return [Still(**still) for still in content["stills"]]
    predictor = open_predictor(info, Backend.PADDLE)
    stills: list[Still] = []
    for item in track(
        read_labelled(list_file, None),
        "scoring",
        console=Console(stderr=True),
        refresh_per_second=1,
    ):
        picture = read_picture(item.path)
        rng = np.random.default_rng(len(stills))
        scores = {}
        for infrared in (False, True):
            cuts = [cut(variant(picture, rng, infrared=infrared), view) for _ in range(VARIANTS)]
            someone = predictor.run(np.concatenate(cuts))[:, 1]
            scores[infrared] = tuple(
                someone.reshape(VARIANTS, -1).max(axis=1).astype(float).tolist()
            )
        stills.append(
            Still(item.name, item.label == 1, item.person_share, scores[False], scores[True])
        )
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(json.dumps({"key": key, "stills": [asdict(still) for still in stills]}))
    return stills


class Half(StrEnum):
    """Which stills are measured."""

    TUNE = "tune"
    REPORT = "report"
    ALL = "all"


def split(stills: Sequence[Still], list_file: Path, half: Half) -> tuple[list[Still], list[Still]]:
    """The stills that are measured, and the others (all, if all are measured)."""
    groups: dict[str, str] = {}
    if list_file.suffix.lower() == ".csv":
        with list_file.open(newline="", encoding="utf-8-sig") as file:
            groups = {row["path"]: row.get("dup_group") or "" for row in csv.DictReader(file)}
    if half is Half.ALL:
        return list(stills), list(stills)
    parts: dict[Half, list[Still]] = {Half.TUNE: [], Half.REPORT: []}
    for still in stills:
        key = groups.get(still.name) or still.name
        parts[Half.REPORT if sha256(key.encode()).digest()[0] % 2 else Half.TUNE].append(still)
    return parts[half], parts[Half.TUNE if half is Half.REPORT else Half.REPORT]


def photographs(
    list_file: Path, model: Path, view: ViewKind, cache: Path, half: Half
) -> list[Still]:
    """The half of a list's stills that show nobody."""
    beside = cache.with_stem(f"{cache.stem}-things")
    stills = scored_stills(list_file, model, view, beside)
    return [still for still in split(stills, list_file, half)[0] if not still.someone]


class Camera:
    """What a camera sees and the network says of it, observation by observation."""

    def __init__(self, lumas: Lumas, empty: Still, seed: int) -> None:
        self._lumas = lumas
        self._empty = empty
        self._rng = np.random.default_rng(seed)
        self._noise = 0.0
        self._at = 28.0, 28.0
        self._scenes: dict[tuple[bool, int], Scene] = {}

    def score(self, still: Still, infrared: bool, elapsed: float) -> float:
        """P(someone) now, `elapsed` seconds after the last."""
        mean, spread = still.odds(infrared)
        keep = float(np.exp(-elapsed / NOISE_LASTS))
        self._noise = keep * self._noise + self._rng.normal(0.0, np.sqrt(1.0 - keep**2))
        return logistic(mean + spread * self._noise)

    def nonsense(self) -> float:
        """What the network says while the light changes."""
        return logistic(self._rng.uniform(-4.0, 4.0))

    def scene(self, infrared: bool, visitor: Still | None = None) -> Scene:
        """The empty still, and who moves before it."""
        number = int(self._rng.integers(len(self._lumas.noise)))
        if visitor is None:
            if (infrared, number) not in self._scenes:
                self._scenes[infrared, number] = self._measured(infrared, number)
            return self._scenes[infrared, number]
        if self._rng.random() < 0.7:
            x, y = self._at + self._rng.normal(0.0, 2.0, 2)
            self._at = float(np.clip(x, 8, 48)), float(np.clip(y, 8, 48))
        share = min(visitor.share or SMALLEST, 0.6)
        blob = 45.0 * _blob(round(self._at[0]), round(self._at[1]), share)
        return self._measured(infrared, number, blob)

    def _measured(
        self, infrared: bool, number: int, more: NDArray[np.float32] | None = None
    ) -> Scene:
        luma = self._lumas[self._empty.name, infrared] + self._lumas.noise[number]
        small = np.clip(luma if more is None else luma + more, 0, 255).astype(np.uint8)
        contrast, saturation = float(small.std()), 0.0 if infrared else 30.0
        return Scene(float(small.mean()), contrast, saturation, 500.0, small, {"frame": small})


class Lumas(dict[tuple[str, bool], NDArray[np.float32]]):
    """Every still in 56 x 56 cells of luma, by day and by infrared; and some sensor noise."""

    def __init__(self, list_file: Path) -> None:
        super().__init__()
        for item in read_labelled(list_file, None):
            grey = cv2.cvtColor(read_picture(item.path), cv2.COLOR_RGB2GRAY)
            luma = cv2.resize(grey, (56, 56), interpolation=cv2.INTER_AREA).astype(np.float32)
            self[item.name, False] = luma
            self[item.name, True] = luma * 0.7 + 20.0
        noise = np.random.default_rng(0).normal(0.0, 0.7, (32, 56, 56))
        self.noise = noise.astype(np.float32)


@lru_cache(maxsize=4096)
def _blob(x: int, y: int, share: float) -> NDArray[np.float32]:
    """A standing ellipse of that share of the picture."""
    width = np.sqrt(share * 56 * 56 / (np.pi * 2.0))
    blob = np.zeros((56, 56), np.float32)
    cv2.ellipse(blob, (x, y), (max(1, round(width)), max(2, round(2 * width))), 0, 0, 360, 1.0, -1)
    return blob


def logistic(odds: float) -> float:
    return float(1.0 / (1.0 + np.exp(-odds)))


class Judge:
    """A presence room with one camera, and what it told."""

    def __init__(self, camera: CameraConfig, *, looks: bool) -> None:
        self._looks = looks
        self.dense = False
        self.tampered = 0
        self._told = Told()
        self._room = PresenceRoom(
            {"c": camera},
            on_message=self._told.hear,
            on_attention=self._attend,
            on_health=self._ail,
        )

    def see(self, second: float, score: float, scene: Scene | None) -> None:
        at = EPOCH.shifted(second)
        frame = Frame("c", round(second * 10), at, second, (), NO_PICTURE, scene)
        self._room.on_score(Score("c", "frame", score, frame, at))

    @property
    def looks(self) -> bool:
        """Whether it makes something of pictures."""
        return self._looks

    def finish(self, second: float) -> list[Span]:
        self._room.finish(EndReason.END_OF_MEDIA, EPOCH.shifted(second))
        return self._told.events

    def _attend(self, attention: Attention) -> None:
        self.dense = attention.dense

    def _ail(self, health: CameraHealth) -> None:
        tamper = health.kind.category is HealthCategory.TAMPER
        self.tampered += tamper and health.ended is None


class Counting:
    """N of the last M frames at or above a threshold; leaves after so long without any."""

    looks = False
    dense = True
    tampered = 0

    def __init__(self, needed: int, window: int, threshold: float, leave_after: float) -> None:
        self._needed, self._threshold, self._leave = needed, threshold, leave_after
        self._recent: deque[tuple[float, bool]] = deque(maxlen=window)
        self._open: tuple[float, float] | None = None
        self._last = 0.0
        self._events: list[Span] = []

    def see(self, second: float, score: float, _scene: Scene | None) -> None:
        hit = score >= self._threshold
        self._recent.append((second, hit))
        self._last = second if hit else self._last
        hits = [at for at, was in self._recent if was]
        if self._open is None and len(hits) >= self._needed:
            self._open = hits[0], second
        elif self._open is not None and second - self._last >= self._leave:
            self.finish(second)
            self._recent.clear()

    def finish(self, _second: float) -> list[Span]:
        if self._open is not None:
            self._events.append(Span(self._open[0], self._last, self._open[1]))
            self._open = None
        return self._events


Make = Callable[[], Judge | Counting]


def fitted(stills: Sequence[Still]) -> CalibrationConfig:
    """Platt's slope and offset, both classes weighing the same, by Newton's method."""
    pairs = [(o, float(s.someone)) for s in stills for o in (*_odds(s.day), *_odds(s.infrared))]
    odds, label = np.array(pairs).T
    weight = np.where(label == 1.0, 0.5 / label.sum(), 0.5 / (label.size - label.sum()))
    design = np.stack([odds, np.ones_like(odds)], axis=1)
    fit = np.zeros(2)
    for _ in range(25):
        p = 1.0 / (1.0 + np.exp(-design @ fit))
        curvature = (design * (weight * p * (1.0 - p))[:, None]).T @ design
        fit = fit + np.linalg.solve(curvature + 1e-6 * np.eye(2), design.T @ (weight * (label - p)))
    return CalibrationConfig(slope=float(fit[0]), offset=float(fit[1]))


def methods(calibration: CalibrationConfig) -> dict[str, Make]:
    """What is compared; all but N of M by the product's own room."""
    off = BackgroundConfig(enabled=False)

    def camera(presence: PresenceConfig, *, guards: bool) -> CameraConfig:
        source = SourceConfig(url=SecretStr("rtsp://camera/"))
        return CameraConfig(source=source, presence=presence, guards=GuardConfig(enabled=guards))

    single = PresenceConfig(
        enter_threshold=0.7,
        exit_threshold=0.7 - 1e-9,
        enter_after=0.0,
        enter_hits=1,
        exit_after=0.0,
        smoothing=0.0,
        background=off,
    )
    evidence = PresenceConfig(mode=PresenceMode.EVIDENCE)
    believes = EvidenceConfig(calibration=calibration)
    tuned = PresenceConfig(mode=PresenceMode.EVIDENCE, evidence=believes)
    return {
        "threshold 0.7": lambda: Judge(camera(single, guards=False), looks=False),
        "N of M: 3 of 5 at 0.7": lambda: Counting(3, 5, 0.7, 5.0),
        "hysteresis + debounce": lambda: Judge(
            camera(PresenceConfig(background=off), guards=False), looks=False
        ),
        "full engine": lambda: Judge(camera(PresenceConfig(), guards=True), looks=True),
        "full engine, evidence": lambda: Judge(camera(evidence, guards=True), looks=True),
        "full engine, evidence, calibrated": lambda: Judge(camera(tuned, guards=True), looks=True),
    }


def watch_empty(
    judge: Judge | Counting, camera: Camera, still: Still, seconds: float, glance: float
) -> list[Span]:
    """The events of hours of an empty camera whose light changes every half hour."""
    now, last, changed = 0.0, 0.0, -10.0
    was = False
    while now < seconds:
        infrared = int(now // LIGHT_LASTS) % 2 == 1
        changed, was = (now if infrared is not was else changed), infrared
        turmoil = now - changed < 1.0
        score = camera.nonsense() if turmoil else camera.score(still, infrared, now - last)
        judge.see(now, score, camera.scene(infrared) if judge.looks else None)
        last = now
        now += 0.2 if judge.dense and not isinstance(judge, Counting) else glance
    return judge.finish(seconds)


def watch_visit(
    judge: Judge | Counting, camera: Camera, empty: Still, visitor: Still, setting: Visit
) -> Comparison:
    """Empty for a while, somebody for a while, and empty again."""
    start = setting.quiet
    end = start + setting.stay
    seconds = end + setting.quiet
    now, last = 0.0, 0.0
    while now < seconds:
        there = start <= now < end
        score = camera.score(visitor if there else empty, setting.infrared, now - last)
        scene = camera.scene(setting.infrared, visitor if there else None) if judge.looks else None
        judge.see(now, score, scene)
        last = now
        now += 0.2 if judge.dense else setting.glance
    return compare(judge.finish(seconds), [Span(start, end)], seconds)


@dataclass(frozen=True)
class Visit:
    """How visits go: seconds of emptiness before and after, of the stay, between glances."""

    quiet: float
    stay: float
    glance: float
    infrared: bool


def row(name: str, make: Make, stills: Sequence[Still], lumas: Lumas, plan: Plan) -> dict[str, Any]:
    """One line of the table."""
    empty = [still for still in stills if not still.someone]
    alone, later, tampered = _alone(make, empty, lumas, plan)
    visited = _visited(make, stills, lumas, plan)
    none, large, middle = total(alone), total(visited["large"]), total(visited["middle"])
    weeks = none.watched_s / WEEK
    both = total(visited["large"] + visited["middle"])
    return {
        "method": name,
        "camera_weeks": round(weeks, 2),
        "false_week": round(none.false_events / weeks, 2),
        "bound_95": round(poisson_bound(none.false_events) / weeks, 2),
        "later_week": round(later / (weeks * LATER_SHARE), 2),
        "later_bound_95": round(poisson_bound(later) / (weeks * LATER_SHARE), 2),
        "false_cameras": sum(each.false_events > 0 for each in alone),
        "false_time": _rounded(1.0 - (none.accuracy or 0.0), 5),
        "recall_large": _rounded(large.recall),
        "recall_middle": _rounded(middle.recall),
        "visits": f"{large.visits}+{middle.visits}",
        "things_told": _told(visited["things"]),
        "photos_told": _told(visited["photos"]),
        "flaps_per_visit": _rounded(both.flaps_per_event),
        "onset_p95_s": _rounded(both.onset_p95, 2),
        "told_p95_s": _rounded(both.confirm_p95, 2),
        "tamper_alarms": tampered,
    }


def _told(visits: Sequence[Comparison]) -> float | None:
    """The share of visits that were told."""
    if not visits:
        return None
    return _rounded(sum(each.visits_found for each in visits) / len(visits))


def _alone(
    make: Make, empty: Sequence[Still], lumas: Lumas, plan: Plan
) -> tuple[list[Comparison], int, int]:
    """Hours of every empty still; events long after a light change; alarms."""
    alone: list[Comparison] = []
    later = tampered = 0
    for index, still in enumerate(empty):
        judge = make()
        camera = Camera(lumas, still, index)
        seconds = plan.hours * 3600.0
        events = watch_empty(judge, camera, still, seconds, plan.glance)
        alone.append(compare(events, [], seconds))
        later += sum(event.start % LIGHT_LASTS >= LEARNED_AFTER for event in events)
        tampered += judge.tampered
        plan.note(kind="false", camera=still.name, events=[asdict(event) for event in events])
    return alone, later, tampered


def _visited(
    make: Make, stills: Sequence[Still], lumas: Lumas, plan: Plan
) -> dict[str, list[Comparison]]:
    """A visit of every still, by day and by infrared: large and middle persons, things, photos."""
    visited: dict[str, list[Comparison]] = {"large": [], "middle": [], "things": [], "photos": []}
    empty = [still for still in stills if not still.someone]
    rng = np.random.default_rng(1)
    for index, still in enumerate((*stills, *plan.photos)):
        visitor, share = still, still.share or 0.0
        if not still.someone:
            visitor = replace(still, share=float(rng.uniform(SMALLEST, 3.0 * LARGE)))
            size = "things" if index < len(stills) else "photos"
        elif share < SMALLEST:
            continue
        else:
            size = "large" if share > LARGE else "middle"
        homes = [still for still in empty if still.name != visitor.name]
        for infrared in (False, True):
            home = homes[int(rng.integers(len(homes)))]
            quiet = 30.0 + float(rng.uniform(0.0, plan.glance))
            setting = Visit(quiet, plan.stay, plan.glance, infrared)
            camera = Camera(lumas, home, 10_000 + index)
            found = watch_visit(make(), camera, home, visitor, setting)
            visited[size].append(found)
            plan.note(
                kind=size,
                camera=home.name,
                visitor=visitor.name,
                infrared=infrared,
                home=home.odds(infrared),
                odds=visitor.odds(infrared),
                share=visitor.share,
                found=found.visits_found,
                onset=found.onset_delays,
            )
    return visited


@dataclass(frozen=True)
class Plan:
    """How much of what is watched. `photos`: what visits besides, and is nobody."""

    hours: float
    stay: float
    glance: float
    photos: Sequence[Still] = ()
    notes: list[dict[str, Any]] = field(default_factory=list)

    def note(self, **what: Any) -> None:
        """Note what became of one visit, or one hour."""
        self.notes.append(what)


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def main(  # noqa: PLR0917 - the options of a command
    list_file: Annotated[Path, typer.Option("--list", help="Labelled stills (CSV).")],
    hours: Annotated[float, typer.Option(help="Empty footage of each empty still.")] = 1.0,
    stay: Annotated[float, typer.Option(help="Seconds of a visit.")] = 20.0,
    glance: Annotated[float, typer.Option(help="Seconds between keyframes.")] = 2.0,
    only: Annotated[
        str, typer.Option(help="Only the method so called, or those whose names contain it.")
    ] = "",
    model: Annotated[Path, typer.Option(help="Model folder.")] = DEFAULT_MODEL,
    view: Annotated[ViewKind, typer.Option(help="How stills are cut.")] = ViewKind.TILES,
    things: Annotated[
        Path | None,
        typer.Option(help="Labelled stills, of which those of nobody visit as things, too."),
    ] = None,
    cache: Annotated[Path, typer.Option(help="Where the stills' scores are kept.")] = Path(
        "var/footage.json"
    ),
    half: Annotated[Half, typer.Option(help="Which stills are measured.")] = Half.REPORT,
    notes: Annotated[
        Path | None, typer.Option(help="Write what became of each visit there (JSON lines).")
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Compare methods on days of footage composed from stills."""
    stills, lumas = scored_stills(list_file, model, view, cache), Lumas(list_file)
    measured, others = split(stills, list_file, half)
    photos = photographs(things, model, view, cache, half) if things is not None else []
    rows, noted = [], []
    made = methods(fitted(others))
    for name in [only] if only in made else [name for name in made if only in name]:
        plan = Plan(hours, stay, glance, photos)
        rows.append(row(name, made[name], measured, lumas, plan))
        noted += [{"method": name, **note} for note in plan.notes]
    if notes is not None:
        notes.write_text("".join(json.dumps(note) + "\n" for note in noted))
    print_rows(rows, list(rows[0]), output)


if __name__ == "__main__":
    typer.run(main)
