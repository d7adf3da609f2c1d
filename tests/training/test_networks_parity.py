"""Networks against independent implementations and published sizes.

The logits recorded here come from timm 1.0.31 on PyTorch 2.13 (`resnet50d`, `resnet101d`,
`swin_tiny_patch4_window7_224`) given the very weights and pictures made below.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import paddle
import pytest
from numpy.typing import NDArray
from paddle import nn

from monitor.training.networks import NETWORKS, build_network
from monitor.training.pretrained import load_pretrained

SWIN = "SwinTransformer_tiny_patch4_window7_224"

TIMM_LOGITS = {
    "ResNet50_vd": [
        [0.78532, 0.16550, 1.50210, -0.38163, -1.99959],
        [0.82469, 0.13662, 1.50859, -0.38273, -2.00665],
    ],
    "ResNet101_vd": [
        [0.39445, -3.88049, 2.02165, -1.96880, -4.61071],
        [0.43030, -3.95496, 1.99197, -1.95452, -4.61177],
    ],
    SWIN: [
        [0.40662, 0.61260, -0.83640, -0.85518, -1.19319],
        [0.43289, 0.52647, -0.66316, -0.78612, -1.32443],
    ],
}

MOBILENET_LOGITS = [
    [0.07991, 0.34848, -0.25180, 0.03612, 0.17025],
    [0.06304, 0.33417, -0.24112, -0.01473, 0.17479],
]
"""MobileNetV3 small x0.35, written anew from the paper's table 2 in PyTorch's functional form with
PaddleClas's gates (0.2 x + 0.5), hard-swish on the pooled 1280, features times 0.8."""

PUBLISHED_MILLIONS = {
    "PPLCNet_x0_25": 1.5,
    "PPLCNet_x0_5": 1.9,
    "PPLCNet_x1_0": 3.0,
    "PPLCNet_x2_5": 9.0,
    "MobileNetV3_small_x0_35": 1.67,
    "ResNet50_vd": 25.58,
    "ResNet101_vd": 44.57,
    SWIN: 28.3,
}
"""Parameters with 1000 classes, in PaddleClas's model lists (BatchNorm statistics apart)."""

NAMES = {
    "MobileNetV3_small_x0_35": {
        "conv.conv.weight": [8, 3, 3, 3],
        "blocks.0.expand_conv.bn._mean": [8],
        "blocks.0.mid_se.conv1.bias": [2],
        "blocks.10.linear_conv.conv.weight": [32, 200, 1, 1],
        "last_second_conv.bn._variance": [200],
        "last_conv.weight": [1280, 200, 1, 1],
        "fc.weight": [1280, 2],
    },
    "ResNet50_vd": {
        "stem.0.conv.weight": [32, 3, 3, 3],
        "stem.2.bn._variance": [64],
        "blocks.0.short.conv.weight": [256, 64, 1, 1],
        "blocks.15.conv2.bn.bias": [2048],
        "fc.bias": [2],
    },
    "ResNet101_vd": {
        "blocks.7.short.bn._mean": [1024],
        "blocks.32.conv1.conv.weight": [512, 512, 3, 3],
        "fc.weight": [2048, 2],
    },
    SWIN: {
        "patch_embed.proj.weight": [96, 3, 4, 4],
        "patch_embed.norm.bias": [96],
        "layers.0.blocks.1.attn.relative_position_bias_table": [169, 3],
        "layers.2.blocks.5.attn.qkv.weight": [384, 1152],
        "layers.1.downsample.reduction.weight": [768, 384],
        "layers.3.blocks.1.mlp.fc1.bias": [3072],
        "norm.weight": [768],
        "head.weight": [768, 2],
    },
}


def made_up(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Weights that depend on a tensor's name alone and keep activations of order one."""
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("_variance"):
        return (1.0 + 0.1 * np.tanh(values)).astype(np.float32)
    if len(shape) == 1:
        is_scale = name.endswith("bn.weight") or ("norm" in name and name.endswith("weight"))
        return (float(is_scale) + 0.1 * values).astype(np.float32)
    fan_in = np.prod(shape[1:]) if len(shape) == 4 else shape[0]
    return (values / np.sqrt(fan_in)).astype(np.float32)


def filled(name: str) -> nn.Layer:
    network = build_network(name, 5)
    for key, tensor in network.state_dict().items():
        tensor.set_value(made_up(key, tuple(tensor.shape)))
    network.eval()
    return network


@pytest.mark.parametrize("name", TIMM_LOGITS)
def test_forward_equals_timm(name: str) -> None:
    # Swin at 224, where its windows fit; of the others any size tells as much.
    side = 224 if name == SWIN else 64
    pictures = np.random.default_rng(7).standard_normal((2, 3, side, side)).astype(np.float32)
    with paddle.no_grad():
        logits = filled(name)(paddle.to_tensor(pictures)).numpy()
    np.testing.assert_allclose(logits, TIMM_LOGITS[name], atol=3e-5)


def test_mobilenet_equals_one_written_from_the_paper() -> None:
    # Loud pictures: made-up weights damp what comes in, and logits should hang on it.
    pictures = 300 * np.random.default_rng(7).standard_normal((2, 3, 64, 64)).astype(np.float32)
    with paddle.no_grad():
        logits = filled("MobileNetV3_small_x0_35")(paddle.to_tensor(pictures)).numpy()
    np.testing.assert_allclose(logits, MOBILENET_LOGITS, atol=3e-5)


def test_swin_takes_pdparams_of_paddleclas(tmp_path: Path) -> None:
    """PaddleClas saves two computed tables beside the weights; they must not be in the way."""
    theirs = {
        name: paddle.to_tensor(made_up(name, tuple(tensor.shape)))
        for name, tensor in build_network(SWIN, 5).state_dict().items()
    }
    tables = set()
    for stage, depth in enumerate((2, 2, 6, 2)):
        for block in range(depth):
            place = f"layers.{stage}.blocks.{block}"
            tables.add(f"{place}.attn.relative_position_index")
            if block % 2 and stage < 3:
                tables.add(f"{place}.attn_mask")
    theirs |= {name: paddle.zeros([49, 49]) for name in tables}
    paddle.save(theirs, str(tmp_path / "swin.pdparams"))
    network = build_network(SWIN, 5)
    report = load_pretrained(network, tmp_path / "swin.pdparams")
    assert report.fresh == ()
    assert set(report.unused) == tables
    network.eval()
    pictures = np.random.default_rng(7).standard_normal((2, 3, 224, 224)).astype(np.float32)
    with paddle.no_grad():
        logits = network(paddle.to_tensor(pictures)).numpy()
    np.testing.assert_allclose(logits, TIMM_LOGITS[SWIN], atol=3e-5)


@pytest.mark.parametrize("name", PUBLISHED_MILLIONS)
def test_sizes_are_the_published_ones(name: str) -> None:
    network = build_network(name, 1000)
    learnt = sum(tensor.size for tensor in network.parameters() if tensor.trainable)
    assert learnt / 1e6 == pytest.approx(PUBLISHED_MILLIONS[name], abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_are_paddleclas(name: str) -> None:
    state = build_network(name).state_dict()
    for key, shape in NAMES[name].items():
        assert list(state[key].shape) == shape, key


@pytest.mark.parametrize(
    "name", [name for name in NETWORKS if "ResNet101" not in name and "x2_" not in name]
)
def test_features_classified_are_the_forward_pass(name: str) -> None:
    network = build_network(name, 2)
    network.eval()
    pictures = paddle.to_tensor(np.random.default_rng(1).random((2, 3, 64, 64), np.float32))
    with paddle.no_grad():
        features = network.features(pictures)
        np.testing.assert_allclose(
            network.classify(features).numpy(), network(pictures).numpy(), atol=1e-6
        )
    assert features.ndim == 2
    assert features.shape[0] == 2


def test_stage_rates_reach_the_parameters() -> None:
    network = build_network("ResNet50_vd", lr_mult_list=[0.0, 0.2, 0.4, 0.6, 0.8])
    rates = {
        name: parameter.optimize_attr["learning_rate"]
        for name, parameter in network.named_parameters()
        if parameter.trainable
    }
    assert rates["stem.0.conv.weight"] == 0.0
    assert rates["blocks.0.conv0.bn.bias"] == 0.2
    assert rates["blocks.3.short.conv.weight"] == 0.4
    assert rates["blocks.15.conv2.conv.weight"] == 0.8
    assert rates["fc.weight"] == 1.0


def test_swin_drops_paths_only_while_training() -> None:
    network = build_network(SWIN, drop_path_rate=0.5)
    pictures = paddle.to_tensor(np.random.default_rng(1).random((2, 3, 32, 32), np.float32))
    with paddle.no_grad():
        network.eval()
        np.testing.assert_array_equal(network(pictures).numpy(), network(pictures).numpy())
        network.train()
        assert (network(pictures).numpy() != network(pictures).numpy()).any()
