"""The report of `dataset build`: JSON, text, and a contact sheet of what the labels look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from monitor.messages import Picture
from monitor.training.build_config import BuildConfig
from monitor.training.build_result import Build, Listed
from monitor.training.contact_sheet import (
    GREY,
    RED,
    Captioned,
    contact_sheet,
    write_contact_sheet,
)
from monitor.training.files import write_json, write_text
from monitor.training.lists import NOBODY, SOMEONE

ON_SHEET = 24
"""Pictures of each class on the contact sheet."""


def write_report(config: BuildConfig, build: Build) -> None:
    """Write report.json, report.txt and contact_sheet.png."""
    _write_json(config, build)
    write_text(config.output_dir / "report.txt", _text(config, build))
    rng = np.random.default_rng(config.seed)
    chosen: list[Listed] = []
    for wanted in (0, SOMEONE):
        of_class = [picture for picture in (*build.train, *build.val) if picture.label == wanted]
        places = rng.permutation(len(of_class))[:ON_SHEET]
        chosen += [of_class[int(place)] for place in sorted(places)]
    sheet = contact_sheet(
        [_field(picture) for picture in chosen], title="red frame: someone, grey frame: nobody"
    )
    write_contact_sheet(config.output_dir / "contact_sheet.png", sheet)


def summary(config: BuildConfig, build: Build) -> dict[str, Any]:
    """Counts for the report and the command line."""
    sources = {}
    for source, seen in build.seen.items():
        kept = {
            f"{name}_{word}": sum(p.source == source and p.label == label for p in side)
            for name, side in (("train", build.train), ("val", build.val))
            for label, word in ((NOBODY, "nobody"), (SOMEONE, "someone"))
        }
        sources[source] = {
            "pictures": seen,
            **kept,
            "unlabelled": sum(p.source == source for p in build.unlabelled),
            "left_out_small_person": build.small_persons[source],
        }
    return {
        "root": str(build.root),
        "train": len(build.train),
        "val": len(build.val),
        "unlabelled": len(build.unlabelled),
        "left_out_small_person": sum(build.small_persons.values()),
        "broken": len(build.broken),
        "identical_copies": len(build.duplicates),
        "contradicting_copies": len(build.contradictions),
        "near_duplicates_of_val": len(build.straddling),
        "groups": build.groups,
        "rule": f"someone if the largest person box > {config.min_share:g} of the picture",
        "seed": config.seed,
        "hash_distance": config.hash_distance,
        "sources": sources,
    }


def _write_json(config: BuildConfig, build: Build) -> None:
    """report.json: the counts, and every picture that was left out by name."""
    write_json(
        config.output_dir / "report.json",
        {
            **summary(config, build),
            "broken_pictures": build.broken,
            "identical_copies_left_out": build.duplicates,
            "contradicting_copies_left_out": build.contradictions,
            "near_duplicates_of_val_left_out": build.straddling,
        },
    )


def _field(picture: Listed) -> Captioned:
    someone = picture.label == SOMEONE
    caption = ("someone" if someone else "nobody", picture.path.name)
    return Captioned(_thumbnail(picture), caption, RED if someone else GREY)


def _thumbnail(picture: Listed) -> Picture | None:
    try:
        with Image.open(picture.path) as opened:
            opened.draft("RGB", (256, 256))
            return np.array(opened.convert("RGB"), np.uint8)
    except OSError:
        return None


def _text(config: BuildConfig, build: Build) -> str:
    counts = summary(config, build)
    sources = counts.pop("sources")
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in counts.items()]
    for source, numbers in sources.items():
        lines += ["", source]
        lines += [f"  {name.replace('_', ' ')}: {value}" for name, value in numbers.items()]
    lines += _named("broken", [f"{path}: {why}" for path, why in build.broken.items()])
    lines += _named("copies with contradicting labels", build.contradictions)
    lines += _named("near-duplicates of validation pictures", build.straddling)
    return "\n".join(lines) + "\n"


def _named(title: str, items: Sequence[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {item}" for item in items)] if items else []
