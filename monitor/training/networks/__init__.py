"""The networks of PULC by name, with PaddleClas's parameter names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paddle import nn

from monitor.training.networks import mobilenetv3, resnet_vd, swin
from monitor.training.networks.pplcnet import SCALES, pplcnet

Builder = Callable[..., nn.Layer]

NETWORKS: dict[str, Builder] = {
    **{name: partial(pplcnet, name) for name in SCALES},
    **{name: partial(mobilenetv3.mobilenetv3_small, name) for name in mobilenetv3.SCALES},
    **{name: partial(resnet_vd.resnet_vd, name) for name in resnet_vd.DEPTHS},
    **{name: partial(swin.swin_transformer, name) for name in swin.DEPTHS},
}


def build_network(name: str, class_num: int = 2, **settings: Any) -> nn.Layer:
    """An untrained network; `settings` go to its constructor (e.g. `lr_mult_list`).

    Raises KeyError for a name that is not in `NETWORKS`.
    """
    return NETWORKS[name](class_num=class_num, **settings)
