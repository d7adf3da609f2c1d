"""Whether trainings can begin: what would fail after hours of others is refused at once."""

from __future__ import annotations

import paddle

from monitor.training.config import ArchConfig, SourceConfig, TrainConfig
from monitor.training.create import create_network
from monitor.training.lists import read_list


class Readiness:
    """Looks at networks, their weights and lists; each only once, however many share it."""

    def __init__(self) -> None:
        self._networks: set[str] = set()
        self._lists: set[str] = set()

    def check(self, config: TrainConfig) -> None:
        """Raise what a training would: ConfigError, ModelError or InputError."""
        self.check_network(config.arch)
        for source in (*config.data.train, config.data.val):
            self._check_list(source)

    def check_network(self, arch: ArchConfig) -> None:
        """There is such a network, it takes its settings, and the weights are its own."""
        key = arch.model_dump_json()
        if key not in self._networks:
            # Names given here must not count on in the trainings.
            with paddle.utils.unique_name.guard():
                create_network(arch)
            self._networks.add(key)

    def _check_list(self, source: SourceConfig) -> None:
        key = source.model_dump_json(include={"list", "root", "unlabelled"})
        if key not in self._lists:
            read_list(source.list, source.root, unlabelled=source.unlabelled)
            self._lists.add(key)
