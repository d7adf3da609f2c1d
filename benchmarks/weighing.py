"""What it costs to weigh a score: microseconds of one core for each part, on the same pictures.

    python -m benchmarks.weighing

An empty zone by sensor noise, and the zone with somebody who walks through it. *motion* is
`stillness.look`, *background* the memory of what stands there, *empty zone* the weighing against
what the zone scores and shows when it is empty, *whole room* all of it with guards, tracker and
state machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from pydantic import SecretStr

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.clock import Stamp
from monitor.config.camera import CameraConfig, SourceConfig
from monitor.config.guards import BackgroundConfig
from monitor.messages import Frame, Light, PresenceState, Scene, Score
from monitor.presence import PresenceRoom, arrival, background, stillness
from monitor.presence.arrival import Acquaintance, Look
from monitor.presence.background import Memory, log_odds
from monitor.presence.likeness import Luma
from monitor.presence.stillness import Stillness

EPOCH = Stamp(0.0, datetime(2026, 3, 1, tzinfo=UTC))
FPS = 5.0
NO_PICTURE = np.zeros((1, 1, 3), np.uint8)
QUIET = 0.05

Moment = tuple[Stamp, float, Luma]
"""When, the score, and the zone's cells."""


def moments(looks: int, *, somebody: bool) -> list[Moment]:
    """What is seen: the first minute nobody in any case."""
    rng = np.random.default_rng(7)
    place = np.asarray(cv2.GaussianBlur(rng.uniform(20.0, 200.0, (56, 56)), (0, 0), 3), np.float32)
    seen: list[Moment] = []
    for number in range(looks):
        second = number / FPS
        luma = place + rng.normal(0.0, 0.7, (56, 56)).astype(np.float32)
        there = somebody and second >= 60.0
        if there:
            x = int(8 + 20 * (1 + np.sin(second)))
            luma[16:44, x : x + 10] += 45.0
        score = float(np.clip(rng.normal(0.4 if there else 0.03, 0.01), 0.0, 1.0))
        seen.append((EPOCH.shifted(second), score, np.clip(luma, 0, 255).astype(np.uint8)))
    return seen


def spent(run: Callable[[], None], looks: int) -> float:
    """Microseconds of processor time a look."""
    started = time.process_time()
    run()
    return round((time.process_time() - started) / looks * 1e6, 1)


def by_parts(seen: Sequence[Moment]) -> dict[str, float]:
    """Each part by itself, over the same looks."""
    stills: list[Stillness] = []

    def moves() -> None:
        still = Stillness()
        for at, _, luma in seen:
            still = stillness.look(still, luma, at, comparable=True, vacant=True)
            stills.append(still)

    def remembers() -> None:
        memory = Memory()
        for (at, score, _), still in zip(seen, stills, strict=True):
            memory = background.weigh(
                memory,
                score,
                still,
                at,
                light=Light.COLOUR,
                presence=PresenceState.VACANT,
                quiet=QUIET,
                settings=BackgroundConfig(),
            ).memory

    def weighs() -> None:
        known = Acquaintance()
        for (at, score, luma), still in zip(seen, stills, strict=True):
            look = Look(log_odds(score), luma, Light.COLOUR, at, score < 0.1, False, True)
            known, _ = arrival.weigh(known, still, look)

    return {
        "motion_us": spent(moves, len(seen)),
        "background_us": spent(remembers, len(seen)),
        "empty_zone_us": spent(weighs, len(seen)),
    }


def whole(seen: Sequence[Moment]) -> float:
    """The room of one camera, guards and all."""
    camera = CameraConfig(source=SourceConfig(url=SecretStr("rtsp://camera/")))
    room = PresenceRoom({"c": camera}, on_message=lambda _message: None)
    scores = []
    for number, (at, score, luma) in enumerate(seen):
        scene = Scene(float(luma.mean()), float(luma.std()), 30.0, 500.0, luma, {"frame": luma})
        frame = Frame("c", number, at, number / FPS, (), NO_PICTURE, scene)
        scores.append(Score("c", "frame", score, frame, at))

    def sees() -> None:
        for score in scores:
            room.on_score(score)

    return spent(sees, len(seen))


def main(
    looks: Annotated[int, typer.Option(help="Looks of each kind.")] = 5000,
    rounds: Annotated[int, typer.Option(help="Rounds; the least of each is told.")] = 3,
    output: FormatOption = Format.TABLE,
) -> None:
    """Measure what weighing a score costs."""
    rows: list[dict[str, Any]] = []
    for name, somebody in (("nobody", False), ("somebody walks", True)):
        seen = moments(looks, somebody=somebody)
        measured = [by_parts(seen) | {"whole_room_us": whole(seen)} for _ in range(rounds)]
        rows.append({"zone": name, **{k: min(each[k] for each in measured) for k in measured[0]}})
    print_rows(rows, list(rows[0]), output)


if __name__ == "__main__":
    typer.run(main)
