"""The worker process: one predictor, fed with slot numbers, answering with scores.

Started as `python -m monitor.inference.worker` so that it imports nothing but this room
(multiprocessing's spawn would import the whole command line again in every worker). It speaks
over one socket and ends when that closes, so it never outlives the process that started it.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection

from monitor.config.inference import Engine
from monitor.errors import MonitorError
from monitor.imaging.slots import Slots
from monitor.inference.backend import open_predictor
from monitor.inference.predictor import Predictor
from monitor.inference.protocol import Answer, Failed, Order, Ready, Task
from monitor.inference.runtime import forbid_pinning
from monitor.inference.selftest import Golden, compare, self_test


def serve(connection: Connection, slots: Slots, task: Task) -> None:
    """Load, test, say `Ready` (or `Failed`), then answer orders until the socket closes."""
    try:
        predictor, golden_pictures = _prepare(task)
    except MonitorError as error:
        connection.send(Failed(error))
        return
    connection.send(Ready(golden_pictures))
    while True:
        try:
            order = Order.unpacked(connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            return
        scores = predictor.run([slots.patches[slot] for slot in order.slots])[:, 1]
        if not all(map(math.isfinite, scores.tolist())):
            raise FloatingPointError(f"batch {order.batch} scored {scores}")
        connection.send_bytes(Answer(order.batch, scores.tobytes()).packed())


def _prepare(task: Task) -> tuple[Predictor, int]:
    predictor = open_predictor(
        task.model,
        task.backend,
        device=task.device,
        precision=task.precision,
        engine=task.engine,
        bare=True,
    )
    if not task.self_test:
        return predictor, 0
    golden = Golden.load(task.model.folder)
    self_test(predictor, golden, task.precision, task.model.folder)
    if task.compare_plain:
        plain = open_predictor(task.model, engine=Engine.PLAIN, bare=True)
        compare(predictor, plain, golden, task.precision, task.model.folder)
    return predictor, len(golden.names) if golden else 0


def main() -> None:
    """Serve on the descriptors named on the command line: socket, slots, number of slots."""
    # Ctrl-C and a service manager's SIGTERM reach the whole group; the parent decides when
    # its workers end, by closing their sockets.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    import cv2

    cv2.setNumThreads(1)
    connection_fd, slots_fd, count = (int(argument) for argument in sys.argv[1:])
    connection = Connection(connection_fd)
    with suppress(BrokenPipeError, EOFError, ConnectionResetError):  # the parent is gone
        task = connection.recv()
        if task.engine is Engine.OPENVINO and not forbid_pinning():
            task = replace(task, engine=Engine.ONEDNN)
        serve(connection, Slots(slots_fd, count), task)
    os._exit(0)  # Paddle takes a second to take itself down


if __name__ == "__main__":
    main()
