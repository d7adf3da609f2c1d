"""The optimiser of a configuration, with per-stage rates and without decay where none belongs."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn
from paddle.regularizer import L2Decay

from monitor.training.config import OptimizerConfig

NORMS = (nn.BatchNorm2D, nn.LayerNorm, nn.BatchNorm1D)


def build_optimiser(
    config: OptimizerConfig, layers: Sequence[nn.Layer]
) -> paddle.optimizer.Optimizer:
    """An optimiser over all trainable parameters of `layers`.

    Networks carry their stages' `lr_mult_list` in their parameters' attributes. Norm layers
    are exempt from decay (PaddleClas: BatchNorm of PP-LCNet has L2 0); with AdamW biases and
    position tables too (SwinTransformer_tiny_patch4_window7_224.yaml).
    """
    exempt = {
        parameter.name
        for layer in layers
        for part in layer.sublayers(include_self=True)
        if isinstance(part, NORMS)
        for parameter in part.parameters(include_sublayers=False)
    }
    parameters = [
        parameter for layer in layers for parameter in layer.parameters() if parameter.trainable
    ]
    clip = nn.ClipGradByGlobalNorm(config.clip_norm) if config.clip_norm is not None else None
    if config.name == "Momentum":
        for parameter in parameters:
            if parameter.name in exempt:
                parameter.regularizer = L2Decay(0.0)
        return paddle.optimizer.Momentum(
            config.learning_rate,
            momentum=config.momentum,
            parameters=parameters,
            weight_decay=L2Decay(config.l2),
            grad_clip=clip,
        )
    exempt |= {
        parameter.name
        for layer in layers
        for name, parameter in layer.named_parameters()
        if parameter.ndim == 1 or name.endswith("relative_position_bias_table")
    }
    return paddle.optimizer.AdamW(
        config.learning_rate,
        parameters=parameters,
        weight_decay=config.l2,
        apply_decay_param_fun=lambda name: name not in exempt,
        grad_clip=clip,
    )
