"""The mixture of sources, its epochs, and batches that depend on nothing but seed and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_pictures import write_pictures

from monitor.errors import InputError
from monitor.imaging.preprocess import MEAN, STD
from monitor.training.augment_config import AugmentConfig
from monitor.training.config import DataConfig, EvalConfig
from monitor.training.dataset import Batch, Mixture, TrainBatches, mix
from monitor.training.lists import read_list
from monitor.training.pictures import PictureCache, reduce_to
from monitor.training.sampler import balanced, epoch_length, epoch_order, share_of
from monitor.training.transforms import EvalTransform, TrainTransform

weights_lists = st.lists(st.floats(0.0, 4.0), min_size=1, max_size=60).filter(
    lambda weights: sum(weights) >= 0.6
)


@settings(max_examples=100, deadline=None)
@given(weights=weights_lists, seed=st.integers(0, 1000), epoch=st.integers(0, 50))
def test_pictures_occur_as_often_as_they_weigh(weights: list[float], seed: int, epoch: int) -> None:
    array = np.array(weights)
    order = epoch_order(array, seed, epoch)
    assert order.size == epoch_length(array) == max(1, round(array.sum()))
    scale = order.size / array.sum()
    counts = np.bincount(order, minlength=array.size)
    assert (counts >= np.floor(array * scale - 1e-6)).all()
    assert (counts <= np.ceil(array * scale + 1e-6)).all()
    np.testing.assert_array_equal(order, epoch_order(array, seed, epoch))


@given(count=st.integers(1, 300), seed=st.integers(0, 100))
def test_equal_weights_show_each_picture_once(count: int, seed: int) -> None:
    assert sorted(epoch_order(np.ones(count), seed, 3)) == list(range(count))


def test_epochs_differ() -> None:
    weights = np.ones(50)
    assert (epoch_order(weights, 0, 0) != epoch_order(weights, 0, 1)).any()
    assert (epoch_order(weights, 0, 0) != epoch_order(weights, 1, 0)).any()


def test_balance_evens_the_classes_and_keeps_the_total() -> None:
    labels = np.array([0] * 90 + [1] * 10 + [-1] * 5)
    weights = balanced(np.ones(105), labels)
    assert weights[labels == 0].sum() == pytest.approx(50.0)
    assert weights[labels == 1].sum() == pytest.approx(50.0)
    assert (weights[labels == -1] == 1.0).all()


@given(size=st.integers(1, 100), world=st.integers(1, 7))
def test_processes_share_an_epoch(size: int, world: int) -> None:
    order = np.random.default_rng(0).permutation(size)
    shares = [share_of(order, rank, world) for rank in range(world)]
    assert len({share.size for share in shares}) == 1
    assert set(np.concatenate(shares)) == set(order)
    assert sum(share.size for share in shares) < size + world


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, "one", 10, seed=1)
    write_pictures(folder, "two", 6, seed=2)
    return folder


def mixture(root: Path, **data: Any) -> Mixture:
    one, two = ({"list": root / f"{name}.txt", "root": root} for name in ("one", "two"))
    tree = {"train": [{**one, "weight": 2.0}, two], "val": two, **data}
    config = DataConfig.model_validate(tree)
    return mix(config, [read_list(source.list, source.root) for source in config.train])


def batches(root: Path, workers: int = 2, size: int = 4, **augment: Any) -> TrainBatches:
    config = AugmentConfig.model_validate({"rand_crop": {"size": 32}, **augment})
    return TrainBatches(
        mixture(root),
        TrainTransform(config),
        PictureCache(),
        seed=5,
        batch_size=size,
        workers=workers,
    )


def test_sources_are_mixed_by_weight(root: Path) -> None:
    mixed = mixture(root)
    assert len(mixed.samples) == 16
    assert mixed.weights.sum() == 26.0
    assert epoch_length(mixture(root, balance="sample").weights) == 26


def test_nothing_but_weightless_sources_is_refused(root: Path) -> None:
    source = {"list": root / "one.txt", "root": root, "weight": 0.0}
    with pytest.raises(InputError):
        mixture(root, train=[source, source])


def test_batches_do_not_depend_on_threads_or_start(root: Path) -> None:
    augment: dict[str, Any] = {"rand_augment": {"prob": 1.0}, "cctv": {"prob": 1.0}}
    order = np.arange(14)
    first = list(batches(root, workers=1, **augment).epoch(order, 2))
    second = list(batches(root, workers=4, **augment).epoch(order, 2))
    later = list(batches(root, workers=3, **augment).epoch(order, 2, start=2))
    assert [len(batch.labels) for batch in first] == [4, 4, 4, 2]
    for expected, found in zip(first, second, strict=True):
        _assert_equal(expected, found)
    for expected, found in zip(first[2:], later, strict=True):
        _assert_equal(expected, found)
    other_epoch = next(iter(batches(root, **augment).epoch(order, 3)))
    assert (other_epoch.pictures != first[0].pictures).any()


def _assert_equal(expected: Batch, found: Batch) -> None:
    np.testing.assert_array_equal(expected.pictures, found.pictures)
    np.testing.assert_array_equal(expected.labels, found.labels)
    np.testing.assert_array_equal(expected.indices, found.indices)


def test_batches_hold_the_listed_labels(root: Path) -> None:
    made = batches(root)
    for batch in made.epoch(np.arange(16), 0):
        assert batch.pictures.shape == (4, 3, 32, 32)
        assert (batch.labels == batch.indices % 2).all()


def test_a_picture_that_vanished_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, "one", 4)
    write_pictures(tmp_path, "two", 2)
    made = batches(tmp_path)
    (tmp_path / "one" / "002.jpg").unlink()
    with pytest.raises(InputError, match=r"002\.jpg"):
        list(made.epoch(np.arange(4), 0))


def test_normalisation_is_imagenets(root: Path) -> None:
    grey = np.full((40, 40, 3), 128, np.uint8)
    out = np.empty((3, 224, 224), np.float32)
    EvalTransform(EvalConfig(view="stretch"))(grey, out)
    for channel in range(3):
        expected = (128 / 255 - MEAN[channel]) / STD[channel]
        np.testing.assert_allclose(out[channel], expected, atol=1e-4)


@pytest.mark.parametrize("view", ["pulc", "stretch", "letterbox"])
def test_eval_views_have_the_asked_size(view: str) -> None:
    config = EvalConfig.model_validate({"view": view, "size": 96, "resize_short": 128})
    patch = EvalTransform(config).cut(np.zeros((50, 90, 3), np.uint8))
    assert patch.shape == (96, 96, 3)


def test_shrinking_uses_pictures_of_nobody(root: Path) -> None:
    # Discs are bright: with every picture shrunk into a scene of nobody, little of them is left.
    plain = next(iter(batches(root, size=8, flip_prob=0.0).epoch(np.arange(1, 16, 2), 0)))
    shrink = {"prob": 1.0, "share": [0.3, 0.3], "crop_scale": [1.0, 1.0]}
    small = next(
        iter(batches(root, size=8, flip_prob=0.0, shrink=shrink).epoch(np.arange(1, 16, 2), 0))
    )
    bright = [float((batch.pictures[:, 0] > 1.0).mean()) for batch in (plain, small)]
    assert 0.0 < bright[1] < bright[0] / 3


def test_the_cache_reduces_and_keeps(root: Path) -> None:
    cache = PictureCache(32)
    path = root / "one" / "001.jpg"
    picture = cache.read(path)
    assert picture.shape == (32, 43, 3)
    assert cache.read(path) is picture
    assert reduce_to(picture, 64) is picture
