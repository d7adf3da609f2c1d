"""What `dataset build` is made from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from monitor.config.base import ConfigModel
from monitor.training.numbers import Probability


class AnnotationFormat(StrEnum):
    """How pictures are annotated; Objects365 has COCO's form."""

    COCO = "coco"
    OBJECTS365 = "objects365"
    VOC = "voc"
    YOLO = "yolo"
    FOLDERS = "folders"


class Split(StrEnum):
    """Where a source's pictures go: to either list by chance, or all to one."""

    AUTO = "auto"
    TRAIN = "train"
    VAL = "val"


class AnnotatedSource(ConfigModel):
    """One annotated collection."""

    format: AnnotationFormat
    images: Path
    """Folder of the pictures."""

    annotations: Path | None = None
    """COCO, Objects365: the JSON file. VOC, YOLO: the folder of XML or text files."""

    persons: tuple[str, ...] = ("person",)
    """Categories that are persons; for YOLO their numbers (COCO's is 0) or names."""

    split: Split = Split.AUTO

    @model_validator(mode="after")
    def _needs_annotations(self) -> Self:
        if self.format is not AnnotationFormat.FOLDERS and self.annotations is None:
            raise ValueError(f"{self.format.value} needs `annotations`")
        return self


class BuildConfig(ConfigModel):
    """Sources, the labelling rule, and how they are split."""

    sources: tuple[AnnotatedSource, ...] = Field(min_length=1)
    unlabelled: tuple[Path, ...] = ()
    """Folders of pictures without labels, for distillation."""

    output_dir: Path = Path("dataset/person_exists")
    root: Path | None = None
    """Folder the listed paths start from; None takes the deepest one above all pictures."""

    min_share: Probability = 0.1
    """A largest person box over this share of the picture is someone (PULC: 10 %); a smaller
    person leaves the picture out, none at all is nobody."""

    val_share: Probability = 0.2
    """Share of each class that goes to val_list.txt, of sources with split `auto`."""

    seed: int = Field(default=0, ge=0)
    hash_distance: int = Field(default=6, ge=0, le=16)
    """Bits in which the perceptual hashes of near-duplicates may differ, of 64."""

    debug_count: int = Field(default=100, ge=2)
    """Lines of the *.debug lists."""

    workers: int = Field(default=2, ge=1, le=64)
