"""An exported model's weights find their way back into the network."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import ModelError
from monitor.training.exported import read_exported
from monitor.training.networks import build_network
from monitor.training.pretrained import load_pretrained
from monitor.training.trained import read_weights

ARCH = "PPLCNet_x0_25"


def test_every_tensor_comes_back(exported: Path, weights: Path) -> None:
    build_network(ARCH)  # numbers of automatic names go on: they must not matter
    network = build_network(ARCH)
    found = read_exported(exported, network)
    expected = read_weights(weights)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_model_folder_is_a_start_for_training(exported: Path, weights: Path) -> None:
    network = build_network(ARCH)
    report = load_pretrained(network, exported)
    assert report.fresh == ()
    np.testing.assert_array_equal(network.fc.bias.numpy(), read_weights(weights)["fc.bias"])
    other = build_network(ARCH, class_num=4)
    assert set(load_pretrained(other, exported).fresh) == {"fc.weight", "fc.bias"}


def test_another_network_is_refused(exported: Path) -> None:
    with pytest.raises(ModelError, match="not this network"):
        read_exported(exported, build_network("PPLCNet_x0_5"))


@pytest.mark.parametrize("kept", [0, 10, 3_000, -4])
def test_a_damaged_file_is_refused(exported: Path, tmp_path: Path, kept: int) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "small"))
    params = folder / "inference.pdiparams"
    params.write_bytes(params.read_bytes()[:kept])
    with pytest.raises(ModelError):
        read_exported(folder, build_network(ARCH))
    params.unlink()
    with pytest.raises(ModelError, match="cannot read"):
        read_exported(folder, build_network(ARCH))
