"""Several processes that train one network together, started by `paddle.distributed.launch`.

    python -m paddle.distributed.launch --nproc_per_node 2 run_monitor.py model train …

On CPUs Paddle's gloo carries the gradients, on GPUs NCCL. Each process works on its share of an
epoch; gradients are averaged before every step, so all keep the same weights. BatchNorm
statistics are each process's own, and the first one's are saved, as in PaddleClas without
use_sync_bn.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import paddle

from monitor.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Team:
    """This process's number and how many there are."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process evaluates, saves and reports."""
        return self.rank == 0

    def average_gradients(self, parameters: Sequence[paddle.Tensor]) -> None:
        """Replace every gradient by its mean over all processes, in one exchange."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = paddle.concat([gradient.flatten() for gradient in gradients])
        paddle.distributed.all_reduce(flat)
        flat = flat / self.world
        parts = paddle.split(flat, [gradient.size for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.set_value(part.reshape(gradient.shape))

    def share_weights(self, tensors: Sequence[paddle.Tensor]) -> None:
        """Give all processes the first one's values."""
        if self.world > 1:
            for tensor in tensors:
                paddle.distributed.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.world > 1:
            # gloo's barrier is not implemented for all backends; an exchange is.
            paddle.distributed.all_reduce(paddle.zeros([1]))


def join_team(device: str) -> Team:
    """Select the device and, under the launcher, meet the other processes.

    Raises ServiceError if the device cannot be had or the others cannot be met.
    """
    world = int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))
    if device == "gpu" and not paddle.is_compiled_with_cuda():
        raise ServiceError(
            "this Paddle was built without GPUs",
            remedy="set device=cpu, or install paddlepaddle-gpu",
        )
    if world == 1:
        paddle.set_device(device)
        return Team()
    if not paddle.distributed.is_available():
        raise ServiceError("this Paddle was built without paddle.distributed")
    try:
        paddle.set_device(
            f"gpu:{paddle.distributed.ParallelEnv().device_id}" if device == "gpu" else "cpu"
        )
        paddle.distributed.init_parallel_env()
    except (RuntimeError, ValueError, OSError) as error:
        raise ServiceError(
            f"the {world} processes cannot meet: {error}",
            remedy="start them with python -m paddle.distributed.launch",
        ) from None
    return Team(paddle.distributed.get_rank(), paddle.distributed.get_world_size())
