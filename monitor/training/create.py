"""A network as a configuration asks for it."""

from __future__ import annotations

import re

from paddle import nn

from monitor.errors import ConfigError
from monitor.training.config import ArchConfig
from monitor.training.networks import NETWORKS, build_network
from monitor.training.pretrained import load_pretrained
from monitor.training.progress import Reporter


def create_network(arch: ArchConfig, report: Reporter | None = None) -> nn.Layer:
    """The configured network with its pretrained weights, if any.

    Raises ConfigError for an unknown name or settings it does not take, ModelError for weights
    that do not fit.
    """
    if arch.name not in NETWORKS:
        raise ConfigError(
            f"there is no network {arch.name!r}",
            where="arch.name",
            remedy=f"known: {', '.join(NETWORKS)}",
        )
    try:
        network = build_network(arch.name, arch.class_num, **arch.settings())
    except TypeError as error:
        unknown = re.search(r"argument '(\w+)'", str(error))
        if unknown is None:
            raise
        raise ConfigError(
            f"{arch.name} does not take this setting",
            where=f"arch.{unknown[1]}",
            remedy="leave it out, or choose another network",
        ) from None
    except ValueError as error:
        raise ConfigError(f"{arch.name}: {error}", where="arch") from None
    if arch.pretrained is not None:
        loaded = load_pretrained(network, arch.pretrained)
        if report is not None:
            report.say(f"{arch.name}: {loaded.loaded} tensors from {arch.pretrained}")
            if loaded.fresh:
                report.say(f"  classifier of another size, starts fresh: {', '.join(loaded.fresh)}")
    return network
