"""What PaddleClas publishes of its own person_exists model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OFFICIAL_URL: Final = (
    "https://paddleclas.bj.bcebos.com/models/PULC/inference/person_exists_infer.tar"
)
"""PP-LCNet x1.0 trained on COCO and Objects365, about 7 MB, Apache-2.0."""

OFFICIAL_GOLDEN: Final[Mapping[str, float]] = {
    "objects365_01780782.jpg": 1.0 - 0.9955421453341842,
    "objects365_02035329.jpg": 0.9999976,
}
"""P(someone) of its demo pictures by these weights
(deploy/images/PULC/person_exists; docs/en/PULC/PULC_person_exists_en.md)."""
