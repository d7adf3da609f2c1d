"""A small network with weights that tell pictures apart, and the model folder made of it."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

ARCH = "PPLCNet_x0_25"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`.pdparams` of `ARCH`: random, its BatchNorm fitted to noise, its classifier made steep."""
    import paddle

    from monitor.training.networks import build_network

    paddle.seed(11)
    network = build_network(ARCH)
    network.train()
    with paddle.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(30):
            network(paddle.randn([8, 3, 96, 96]))
    network.fc.weight.set_value(network.fc.weight.numpy() * 30.0)
    network.fc.bias.set_value(np.array([0.12345, -0.4321], np.float32))
    file = tmp_path_factory.mktemp("weights") / "best_model.pdparams"
    paddle.save(network.state_dict(), str(file))
    return file


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight made-up pictures of several shapes, p0.png … p7.png."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(5)
    for index in range(8):
        cells = rng.integers(0, 256, (6 + index, 9, 3), np.uint8)
        picture = cv2.resize(cells, (320, 240 + 8 * index), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"p{index}.png"), picture)
    return folder


@pytest.fixture(scope="session")
def exported(weights: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder exported from `weights` with two golden pictures. Copy before changing."""
    from monitor.training.card import describe
    from monitor.training.export import ExportJob, export_model

    output = tmp_path_factory.mktemp("models") / "small"
    card = describe(name="small", version="1", arch=ARCH, threshold=0.5)
    golden = (pictures / "p0.png", pictures / "p1.png")
    return export_model(ExportJob(weights, output, card, ARCH, golden)).folder
