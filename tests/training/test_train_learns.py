"""Training: it learns, it refuses what would spoil it, and it leaves its records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_pictures import tiny_config, write_pictures

from monitor.errors import ConfigError, InputError, ModelError, UsageError
from monitor.training.create import create_network
from monitor.training.dataset import EvalBatches
from monitor.training.judge import predict
from monitor.training.lists import read_list
from monitor.training.networks import build_network
from monitor.training.pictures import PictureCache
from monitor.training.pretrained import load_pretrained
from monitor.training.train import run_training
from monitor.training.transforms import EvalTransform


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_pictures(root, "train", 288, seed=1)
    write_pictures(root, "val", 32, seed=2)
    return root


def test_two_epochs_learn_a_tiny_set(data: Path, tmp_path: Path) -> None:
    config = tiny_config(data, tmp_path / "run")
    result = run_training(config)
    assert result.best.auroc > 0.95
    assert result.steps == 2 * 18

    network = build_network("PPLCNet_x0_25")
    load_pretrained(network, result.weights)
    network.eval()
    judged = EvalBatches(
        read_list(data / "val.txt", data),
        EvalTransform(config.eval),
        PictureCache(),
        batch_size=8,
        workers=1,
    )
    scores = predict(network, judged)
    assert scores[judged.labels == 1].mean() > scores[judged.labels == 0].mean() + 0.1

    folder = tmp_path / "run"
    history = json.loads((folder / "history.json").read_text())
    assert [row["epoch"] for row in history["epochs"]] == [1, 2]
    assert history["epochs"][1]["train_loss"] < history["epochs"][0]["train_loss"]
    assert json.loads((folder / "result.json").read_text())["auroc"] == result.best.auroc
    assert (folder / "history.csv").read_text().count("\n") == 3
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "tensorboard").glob("events*"))


def test_a_second_run_in_the_same_folder_is_refused(data: Path, tmp_path: Path) -> None:
    config = tiny_config(data, tmp_path, epochs=1)
    first = run_training(config)
    with pytest.raises(UsageError, match="already holds a run"):
        run_training(config)
    assert run_training(config, resume=True).best == first.best
    changed = tiny_config(data, tmp_path, epochs=2)
    with pytest.raises(UsageError, match="begun differently: epochs"):
        run_training(changed, resume=True)


def test_an_unknown_network_is_refused_by_name(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PPLCNet_x9_9"):
        run_training(tiny_config(data, tmp_path, arch={"name": "PPLCNet_x9_9"}))


def test_settings_a_network_does_not_take_are_refused(data: Path, tmp_path: Path) -> None:
    arch = {"name": "PPLCNet_x0_25", "lr_mult_list": [1.0, 1.0]}
    with pytest.raises(ConfigError, match="lr_mult_list"):
        run_training(tiny_config(data, tmp_path, arch=arch))
    arch["name"] = "MobileNetV3_small_x0_35"
    with pytest.raises(ConfigError, match="MobileNetV3_small_x0_35 does not take this"):
        run_training(tiny_config(data, tmp_path, arch=arch))


def test_one_class_only_is_refused(data: Path, tmp_path: Path) -> None:
    listed = tmp_path / "someone.txt"
    lines = (data / "train.txt").read_text().splitlines()
    listed.write_text("\n".join(line for line in lines if line.endswith(" 1")))
    config = tiny_config(data, tmp_path / "run")
    source = {"list": listed, "root": data}
    spoilt = config.data.model_dump() | {"train": [source]}
    with pytest.raises(InputError, match="no picture of class 0"):
        run_training(tiny_config(data, tmp_path / "run", data=spoilt))


def test_a_broken_picture_is_named_before_training(data: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path, "train", 8)
    write_pictures(tmp_path, "val", 4)
    victim = tmp_path / "train" / "003.jpg"
    victim.write_bytes(victim.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"003\.jpg"):
        run_training(tiny_config(tmp_path, tmp_path / "run", epochs=1))

    config = tiny_config(tmp_path, tmp_path / "run", epochs=1)
    lenient = config.data.model_dump() | {"skip_broken": True, "batch_size": 7}
    result = run_training(tiny_config(tmp_path, tmp_path / "run", epochs=1, data=lenient))
    assert result.steps == 1


def test_weights_of_another_shape_are_refused_by_tensor(tmp_path: Path) -> None:
    arrays = {
        name: np.asarray(tensor.numpy())
        for name, tensor in build_network("PPLCNet_x0_35").state_dict().items()
    }
    np.savez(tmp_path / "other.npz", **arrays)
    network = build_network("PPLCNet_x0_25")
    with pytest.raises(ModelError, match=r"blocks2\.0\..* has shape"):
        load_pretrained(network, tmp_path / "other.npz")


def test_only_the_classifier_may_differ_in_size(tmp_path: Path) -> None:
    source = build_network("PPLCNet_x0_25", class_num=1000)
    arrays = {name: np.asarray(value.numpy()) for name, value in source.state_dict().items()}
    np.savez(tmp_path / "imagenet.npz", **arrays)
    network = build_network("PPLCNet_x0_25", class_num=2)
    report = load_pretrained(network, tmp_path / "imagenet.npz")
    assert report.fresh == ("fc.weight", "fc.bias")
    np.testing.assert_array_equal(network.conv1.conv.weight.numpy(), arrays["conv1.conv.weight"])


def test_missing_weights_say_where(tmp_path: Path) -> None:
    from monitor.training.config import ArchConfig

    with pytest.raises(ModelError) as caught:
        create_network(ArchConfig(name="PPLCNet_x0_25", pretrained=tmp_path / "none.pdparams"))
    assert "none.pdparams" in str(caught.value)


def test_an_unwritable_output_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        run_training(tiny_config(data, tmp_path / "file" / "run"))


def test_a_full_disk_is_noticed_at_the_start(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10_000))
    with pytest.raises(InputError, match="MB left"):
        run_training(tiny_config(data, tmp_path))


def test_a_diverging_run_stops_with_advice(data: Path, tmp_path: Path) -> None:
    optimizer = {"learning_rate": 1e30, "warmup_epoch": 0}
    with pytest.raises(ModelError, match="loss became"):
        run_training(tiny_config(data, tmp_path, optimizer=optimizer))


def test_a_disk_that_fills_up_is_an_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    import errno

    from monitor.training.files import atomic

    file = tmp_path / "checkpoint.npz"
    file.write_text("old")

    def write() -> None:
        with atomic(file) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        write()
    assert file.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["checkpoint.npz"]
