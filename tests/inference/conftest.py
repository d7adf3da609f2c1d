from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
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


@pytest.fixture(scope="session")
def both_programs(
    tiny_model: Path, legacy_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny model with the legacy program beside the other, as `model export` writes them."""
    folder = copy_model(tiny_model, tmp_path_factory.mktemp("model") / "both")
    (folder / "inference.pdmodel").write_bytes((legacy_model / "inference.pdmodel").read_bytes())
    return folder


def copy_model(source: Path, target: Path) -> Path:
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


@pytest.fixture
def onnx_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with an ONNX file written by hand: mean of red through ReduceMean."""
    from onnx import TensorProto, helper, numpy_helper, save

    weight = np.zeros((3, 2), np.float32)
    weight[0] = -0.229, 0.229
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["mean", "weight", "bias"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean_red",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 224, 224])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 2])],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.array([0.515, 0.485], np.float32), "bias"),
        ],
    )
    copy_model(tiny_model, tmp_path)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    save(model, str(tmp_path / "inference.onnx"))
    return tmp_path
