"""Swin Transformer (PaddleClas ppcls/arch/backbone/legendary_models/swin_transformer.py).

Parameter names and shapes are PaddleClas's, so its `.pdparams` load as they are. The tables it
computes (position indices, masks) are no parameters here. Any input size works: windows are
padded where the grid is no multiple of seven; at 224 nothing is padded, as in PaddleClas.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F  # noqa: N812 (Paddle's own name for it)
from numpy.typing import NDArray
from paddle import ParamAttr, nn
from paddle.nn.initializer import TruncatedNormal

DEPTHS: dict[str, tuple[int, int, int, int]] = {
    "SwinTransformer_tiny_patch4_window7_224": (2, 2, 6, 2)
}
HEADS = (3, 6, 12, 24)
WIDTH = 96
"""Channels of the first stage; each later one has twice as many."""

PATCH, WINDOW = 4, 7
MASKED = -100.0
"""Added to attention between pixels that the cyclic shift made neighbours."""


def _linear(features_in: int, features_out: int, *, bias: bool = True) -> nn.Linear:
    weight = ParamAttr(initializer=TruncatedNormal(std=0.02))
    return nn.Linear(
        features_in, features_out, weight_attr=weight, bias_attr=None if bias else False
    )


class WindowAttention(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Multi-head attention within 7×7 windows, with a learnt bias per relative position."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self._scale = (width // heads) ** -0.5
        self.relative_position_bias_table = self.create_parameter(
            [(2 * WINDOW - 1) ** 2, heads], default_initializer=TruncatedNormal(std=0.02)
        )
        self.qkv = _linear(width, width * 3)
        self.proj = _linear(width, width)

    def forward(self, x: paddle.Tensor, mask: paddle.Tensor | None) -> paddle.Tensor:
        """Windows (n, 49, width); `mask` (windows a picture, 49, 49)."""
        tokens, width = x.shape[1], x.shape[2]
        qkv = self.qkv(x).reshape([-1, tokens, 3, self._heads, width // self._heads])
        query, key, value = qkv.transpose([2, 0, 3, 1, 4]).unbind(0)
        attention = paddle.matmul(query * self._scale, key, transpose_y=True)
        index = paddle.to_tensor(_relative_positions())
        bias = paddle.index_select(self.relative_position_bias_table, index)
        attention = attention + bias.reshape([tokens, tokens, self._heads]).transpose([2, 0, 1])
        if mask is not None:
            grouped = [-1, mask.shape[0], self._heads, tokens, tokens]
            attention = attention.reshape(grouped) + mask.unsqueeze(1)
            attention = attention.reshape([-1, self._heads, tokens, tokens])
        mixed = paddle.matmul(F.softmax(attention, axis=-1), value)
        return self.proj(mixed.transpose([0, 2, 1, 3]).reshape([-1, tokens, width]))


class Mlp(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Two linear layers around a GELU, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = _linear(width, width * 4)
        self.fc2 = _linear(width * 4, width)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Attention in windows, every other time shifted by half of one, then an MLP."""

    def __init__(self, width: int, heads: int, *, shifted: bool, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)
        self._shift = WINDOW // 2 if shifted else 0
        self._drop_path = drop_path

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Maps (n, height, width, channels)."""
        x = x + self._dropped(self._attend(self.norm1(x)))
        return x + self._dropped(self.mlp(self.norm2(x)))

    def _attend(self, x: paddle.Tensor) -> paddle.Tensor:
        height, width, channels = x.shape[1:]
        below, right = -height % WINDOW, -width % WINDOW
        if below or right:
            x = F.pad(x, [0, right, 0, below], data_format="NHWC")
        rows, columns = height + below, width + right
        # One window alone has nothing to exchange with.
        shifts = tuple(self._shift if side > WINDOW else 0 for side in (rows, columns))
        mask = None
        if any(shifts):
            x = paddle.roll(x, shifts=[-shift for shift in shifts], axis=[1, 2])
            mask = paddle.to_tensor(_shift_mask(rows, columns, shifts))
        grid = [-1, rows // WINDOW, WINDOW, columns // WINDOW, WINDOW, channels]
        windows = x.reshape(grid).transpose([0, 1, 3, 2, 4, 5])
        windows = self.attn(windows.reshape([-1, WINDOW * WINDOW, channels]), mask)
        x = windows.reshape([-1, rows // WINDOW, columns // WINDOW, WINDOW, WINDOW, channels])
        x = x.transpose([0, 1, 3, 2, 4, 5]).reshape([-1, rows, columns, channels])
        if any(shifts):
            x = paddle.roll(x, shifts=list(shifts), axis=[1, 2])
        return x[:, :height, :width]

    def _dropped(self, x: paddle.Tensor) -> paddle.Tensor:
        """Stochastic depth: the branch of a random share of the pictures is left out."""
        if not self.training or self._drop_path == 0.0:
            return x
        keep = 1.0 - self._drop_path
        kept = paddle.floor(paddle.rand([x.shape[0], 1, 1, 1]) + keep)
        return x / keep * kept


class PatchMerging(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Four neighbours become one of twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = _linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        height, width, channels = x.shape[1:]
        if height % 2 or width % 2:
            x = F.pad(x, [0, width % 2, 0, height % 2], data_format="NHWC")
        rows, columns = (height + 1) // 2, (width + 1) // 2
        # The order of the four is column first, as in the original.
        x = x.reshape([-1, rows, 2, columns, 2, channels]).transpose([0, 1, 3, 4, 2, 5])
        return self.reduction(self.norm(x.reshape([-1, rows, columns, 4 * channels])))


class Stage(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Blocks of one resolution, and the merging that halves it."""

    def __init__(self, width: int, heads: int, drop_paths: Sequence[float], *, merge: bool) -> None:
        super().__init__()
        self.blocks = nn.LayerList(
            [
                SwinBlock(width, heads, shifted=number % 2 == 1, drop_path=drop_path)
                for number, drop_path in enumerate(drop_paths)
            ]
        )
        self.downsample = PatchMerging(width) if merge else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class PatchEmbed(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Pictures N 3 H W to maps N H/4 W/4 96."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2D(3, WIDTH, PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.norm(self.proj(x).transpose([0, 2, 3, 1]))


class SwinTransformer(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Pictures N 3 H W float32, sides multiples of 4, to logits N `class_num`."""

    def __init__(
        self, depths: Sequence[int], class_num: int = 2, *, drop_path_rate: float = 0.1
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed()
        rates = np.linspace(0.0, drop_path_rate, sum(depths)).tolist()
        stages = []
        for number, (depth, heads) in enumerate(zip(depths, HEADS, strict=True)):
            first = sum(depths[:number])
            stages.append(
                Stage(
                    WIDTH * 2**number,
                    heads,
                    rates[first : first + depth],
                    merge=number < len(depths) - 1,
                )
            )
        self.layers = nn.LayerList(stages)
        width = WIDTH * 2 ** (len(depths) - 1)
        self.norm = nn.LayerNorm(width)
        self.head = _linear(width, class_num)

    def features(self, x: paddle.Tensor) -> paddle.Tensor:
        """The pooled features N 768."""
        x = self.patch_embed(x)
        for stage in self.layers:
            x = stage(x)
        return self.norm(x).mean(axis=[1, 2])

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Logits N `class_num` of pooled features."""
        return self.head(features)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classify(self.features(x))


def swin_transformer(name: str, class_num: int = 2, **settings: Any) -> SwinTransformer:
    """The Swin Transformer called `name` (a key of `DEPTHS`)."""
    return SwinTransformer(DEPTHS[name], class_num, **settings)


@lru_cache(maxsize=1)
def _relative_positions() -> NDArray[np.int64]:
    """Row of the bias table for each pair of a window's 49 pixels, flat (2401,)."""
    places = np.stack(np.meshgrid(range(WINDOW), range(WINDOW), indexing="ij")).reshape(2, -1)
    offsets = places[:, :, None] - places[:, None, :] + WINDOW - 1
    return np.asarray(offsets[0] * (2 * WINDOW - 1) + offsets[1], np.int64).reshape(-1)


@lru_cache(maxsize=32)
def _shift_mask(rows: int, columns: int, shifts: tuple[int, int]) -> NDArray[np.float32]:
    """(windows, 49, 49): 0 where two pixels were neighbours before the shift, else -100."""
    regions = np.zeros((rows, columns), np.int64)
    for axis, (side, shift) in enumerate(zip((rows, columns), shifts, strict=True)):
        if shift:
            band = np.zeros(side, np.int64)
            band[side - WINDOW : side - shift] = 1
            band[side - shift :] = 2
            regions += band[:, None] * 3 if axis == 0 else band[None, :]
    windows = regions.reshape(rows // WINDOW, WINDOW, columns // WINDOW, WINDOW)
    flat = windows.transpose(0, 2, 1, 3).reshape(-1, WINDOW * WINDOW)
    apart = flat[:, None, :] != flat[:, :, None]
    return np.where(apart, np.float32(MASKED), np.float32(0.0))
