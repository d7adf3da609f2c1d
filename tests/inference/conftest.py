from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def make_model(folder: Path, *arguments: str, legacy: bool = False) -> Path:
    """A tiny model in `folder`: P(someone) is the mean of the red channel."""
    folder.mkdir(parents=True)
    subprocess.run(
        [sys.executable, Path(__file__).with_name("tiny_model.py"), folder, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "FLAGS_enable_pir_api": "0" if legacy else "1"},
    )
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def legacy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "legacy", legacy=True)
