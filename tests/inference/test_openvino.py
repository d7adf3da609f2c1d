from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.errors import ModelError
from monitor.inference.model import DEFAULT_MODEL, ModelInfo
from monitor.inference.openvino import OpenVinoPredictor
from monitor.inference.predictor import PaddlePredictor
from monitor.inference.program import pixel_program
from monitor.inference.runtime import program_messages

from .conftest import copy_model, make_model


def test_a_padded_convolution_sees_the_same_at_the_border() -> None:
    """The shipped network pads its first convolution; these patches differ only at the edge."""
    model = ModelInfo.load(DEFAULT_MODEL)
    patches = np.random.default_rng(0).integers(0, 256, (7, 224, 224, 3), np.uint8)
    patches[:, 3:-3, 3:-3] = 90
    patches[0], patches[1] = 0, 255
    expected = PaddlePredictor(model).run(patches)
    found = OpenVinoPredictor(model).run(patches)
    assert np.ptp(expected[:, 1]) > 1e-5
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_program_takes_pixels_with_a_margin() -> None:
    model = ModelInfo.load(DEFAULT_MODEL)
    assert model.legacy
    program = pixel_program(model.legacy.read_bytes(), 4)
    assert program
    assert program.margin == 1
    block = program_messages().ProgramDesc.FromString(program.data).blocks[0]
    source = next(variable for variable in block.vars if variable.name == "x")
    assert list(source.type.dense_tensor.tensor.dims) == [4, 226, 226, 3]
    convolution = next(operator for operator in block.ops if operator.type == "conv2d")
    paddings = next(each for each in convolution.attrs if each.name == "paddings")
    assert list(paddings.ints) == [0, 0]
    made = [name for variable in block.vars if (name := variable.name).startswith("pixels4.")]
    assert len(made) == len(set(made))
    assert {
        name for operator in block.ops for out in operator.outputs for name in out.arguments
    } >= set(made)


def test_no_program_for_pixels_without_a_first_convolution(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "flat", "2", "96", legacy=True)
    assert pixel_program((folder / "inference.pdmodel").read_bytes(), 1) is None
    with pytest.raises(ModelError, match="OpenVINO does not take"):
        OpenVinoPredictor(ModelInfo.load(folder))


def test_damaged_and_missing_programs_are_not_taken(
    tiny_model: Path, both_programs: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="OpenVINO does not take"):
        OpenVinoPredictor(ModelInfo.load(tiny_model))
    copy_model(both_programs, tmp_path)
    program = tmp_path / "inference.pdmodel"
    program.write_bytes(program.read_bytes()[:500])
    with pytest.raises(ModelError, match="OpenVINO does not take"):
        OpenVinoPredictor(ModelInfo.load(tmp_path))


@pytest.mark.parametrize("change", ["groups", "padding_algorithm", "paddings", "type"])
def test_other_convolutions_do_not_take_pixels(both_programs: Path, change: str) -> None:
    described = program_messages().ProgramDesc.FromString(
        (both_programs / "inference.pdmodel").read_bytes()
    )
    convolution = next(each for each in described.blocks[0].ops if each.type == "conv2d")
    attributes = {each.name: each for each in convolution.attrs}
    assert pixel_program(described.SerializeToString(), 1)
    if change == "groups":
        attributes["groups"].i = 3
    elif change == "padding_algorithm":
        attributes["padding_algorithm"].s = "SAME"
    elif change == "paddings":
        attributes["paddings"].ints[:] = [1, 0]
    else:
        convolution.type = "depthwise_conv2d"
    assert pixel_program(described.SerializeToString(), 1) is None
