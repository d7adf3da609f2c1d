"""What `model search` tries; keys are named like those of PULC's search.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from monitor.config.base import ConfigModel


class SearchStep(ConfigModel):
    """One hyper-parameter, tried while all others stay at the best found so far."""

    search_key: str = Field(min_length=1)
    """What it is called in tables and folder names."""

    replace_config: tuple[str, ...] = Field(min_length=1)
    """Keys of the training configuration that get the value, all the same one."""

    search_values: tuple[Any, ...] = Field(min_length=1)


class TeacherStep(ConfigModel):
    """Networks to try for the teacher, trained like the student with the best settings."""

    search_values: tuple[str, ...] = Field(min_length=1)
    """Names of networks."""

    pretrained: dict[str, Path] = Field(default_factory=dict)
    """Weights each of them starts from, by name."""

    rm_keys: tuple[str, ...] = ("arch.lr_mult_list",)
    """Settings of the student that teachers do not take."""

    algorithm: Literal["skl-ugi"] = "skl-ugi"


class SearchConfig(ConfigModel):
    """A greedy search: step after step, then the teacher, then distillation with the best."""

    base_config_file: Path
    """Training configuration the trials start from."""

    distill_config_file: Path | None = None
    """Distillation configuration the last training starts from; needs `teacher`."""

    output_dir: Path = Path("output/search_person_exists")
    search_times: int = Field(default=1, ge=1, le=20)
    """Trainings of each value, seeds counted up; their mean decides."""

    search_dict: tuple[SearchStep, ...] = ()
    teacher: TeacherStep | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.search_dict and self.teacher is None:
            raise ValueError("there is nothing to search: no search_dict and no teacher")
        keys = [step.search_key for step in self.search_dict]
        if len(set(keys)) != len(keys):
            raise ValueError("each search_key must occur once")
        if self.distill_config_file is not None and self.teacher is None:
            raise ValueError("distill_config_file needs a teacher")
        return self
