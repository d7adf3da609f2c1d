"""Depthwise convolutions that train fast on a CPU: PyTorch's forward, an own backward in C++.

Compiled with g++ at first use. Where there is no g++ the plain PyTorch backward stays.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_library: ctypes.CDLL | None = None


def _compiled() -> ctypes.CDLL:
    global _library  # noqa: PLW0603
    if _library is None:
        source = Path(__file__).with_name("depthwise.cpp")
        target = Path(tempfile.mkdtemp()) / "depthwise.so"
        flags = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-Wno-ignored-attributes"]
        subprocess.run(["g++", *flags, "-o", target, source], check=True)
        _library = ctypes.CDLL(str(target))
    return _library


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, pad: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.pad = stride, pad
        return nn.functional.conv2d(x, weight.to(x.dtype), None, stride, pad, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        x = x.contiguous(memory_format=torch.channels_last)
        grad = grad.contiguous(memory_format=torch.channels_last)
        channels, kernel = weight.shape[0], weight.shape[2]
        taps = kernel * kernel
        blocked = weight.float().view(channels // 16, 16, taps).transpose(1, 2).contiguous()
        grad_x, grad_weight = torch.empty_like(x), torch.empty_like(blocked)
        _compiled().depthwise_backward(
            *(ctypes.c_void_p(t.data_ptr()) for t in (x, grad, blocked, grad_x, grad_weight)),
            len(x), channels, *x.shape[2:], *grad.shape[2:], kernel, ctx.stride, ctx.pad,
            torch.get_num_threads(),
        )  # fmt: skip
        return (
            grad_x,
            grad_weight.transpose(1, 2).reshape(weight.shape).to(weight.dtype),
            None,
            None,
        )


def _forward(conv: nn.Conv2d, x: Tensor) -> Tensor:
    x = conv.static_padding(x) if hasattr(conv, "static_padding") else x
    if not (torch.is_grad_enabled() and x.requires_grad and torch.is_autocast_enabled("cpu")):
        return conv._conv_forward(x, conv.weight, conv.bias)
    with torch.autocast("cpu", enabled=False):
        out: Tensor = _Depthwise.apply(x.bfloat16(), conv.weight, conv.stride[0], conv.padding[0])
        return out


def speed_up(net: nn.Module) -> nn.Module:
    """Give every depthwise convolution of `net` the fast backward. Its state stays the same.

    EfficientNet's convolutions pad in a step of their own (`static_padding`); an even padding
    is left to the convolution.
    """
    for module in net.modules():
        padding = getattr(module, "static_padding", None)
        if isinstance(padding, nn.ZeroPad2d) and len(set(padding.padding)) == 1:
            module.padding = (padding.padding[0],) * 2
            module.static_padding = nn.Identity()
        if (
            shutil.which("g++") is not None
            and isinstance(module, nn.Conv2d)
            and module.groups == module.in_channels == module.out_channels > 1
            and module.bias is None
            and module.kernel_size[0] in (3, 5)
            and module.in_channels % 16 == 0
        ):
            module.forward = partial(_forward, module)
    return net
