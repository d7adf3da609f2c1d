"""Paddle Inference, whole or bare.

`import paddle` takes a second of processor time and 115 MB, nearly all of it for building and
training networks. A worker process only runs one, so it loads the C++ library that
`paddle.inference` wraps, and nothing else. A process must not do both: the bare library in a
process that imports Paddle later (as a user's program may) would be loaded twice.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import struct
import sys
import warnings
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ModelError

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
"""malloc.h of glibc."""

_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
"""linux/prctl.h and linux/seccomp.h."""

_NO_PINNING: Final = (
    (0x20, 0, 0, 4),  # the architecture
    (0x15, 0, 3, 0xC000003E),  # x86-64? else allow
    (0x20, 0, 0, 0),  # the call's number
    (0x15, 0, 1, 203),  # sched_setaffinity? else allow
    (0x06, 0, 0, 0x00050001),  # fail with EPERM
    (0x06, 0, 0, 0x7FFF0000),  # allow
)
"""A filter of linux/filter.h: code, steps to skip if true and if false, operand."""


def keep_memory() -> None:
    """Tell glibc to keep freed memory, in this whole process, instead of giving it back.

    For programs whose work is scoring: otherwise each batch asks for its layers' memory again,
    which takes a fifth of its time. Elsewhere than on glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def forbid_pinning() -> bool:
    """Deny this process, for good, to tie itself to a processor; whether that could be done.

    OpenVINO as Paddle sets it up ties whoever calls it to the first processor, so two workers would
    share one while others idle, and there is no setting against it. A seccomp filter lets
    `sched_setaffinity` fail instead, which OpenVINO takes as it comes. Linux on x86-64 only, as is
    Paddle's OpenVINO.
    """
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return False
    program = b"".join(struct.pack("HBBI", *step) for step in _NO_PINNING)
    steps = ctypes.create_string_buffer(program, len(program))
    filtered = struct.pack("HxxxxxxP", len(_NO_PINNING), ctypes.addressof(steps))
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.create_string_buffer(filtered), 0, 0)
    try:
        os.sched_setaffinity(0, os.sched_getaffinity(0))
    except PermissionError:
        return True
    return False


def whole_paddle() -> Any:
    """The module `paddle.inference`. Raises ModelError if Paddle is not installed."""
    with warnings.catch_warnings():
        # Paddle warns at import that it found no compiler cache, which nothing here needs.
        warnings.simplefilter("ignore")
        try:
            from paddle import inference
        except ImportError as error:
            raise _not_installed(error) from error
    return inference


def bare_paddle() -> Any:
    """Paddle's C++ library with `AnalysisConfig` and `create_predictor`, for a worker process.

    It is set up as `paddle.base.__bootstrap__` does. Raises ModelError if it is not there.
    """
    if "paddle" in sys.modules:
        return whole_paddle()
    path = _paddle_folder() / "base" / "libpaddle.so"
    loader = ExtensionFileLoader("libpaddle", str(path))
    library_spec = importlib.util.spec_from_file_location("libpaddle", path, loader=loader)
    assert library_spec is not None
    try:
        library: Any = importlib.util.module_from_spec(library_spec)
        loader.exec_module(library)
    except ImportError as error:
        raise _not_installed(error) from error
    flags = sorted(key for key in library.globals().keys() if key in os.environ)  # noqa: SIM118
    if flags:
        names = ",".join(flag.removeprefix("FLAGS_") for flag in flags)
        library.init_gflags([f"--tryfromenv={names}"])
    library.init_glog(sys.argv[0])
    library.init_memory_method()
    library.init_devices()
    library.Config = library.AnalysisConfig
    return library


def program_messages() -> Any:
    """The protobuf messages of Paddle 2's programs, `framework_pb2`, without importing Paddle.

    Where Paddle is imported already they are its own. Raises ModelError if it is not installed.
    """
    if "paddle" in sys.modules:
        return importlib.import_module("paddle.base.proto.framework_pb2")
    path = _paddle_folder() / "base" / "proto" / "framework_pb2.py"
    spec = importlib.util.spec_from_file_location("framework_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    messages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(messages)
    return messages


def lent_tensor(library: Any, array: NDArray[np.float32]) -> Any:
    """A Paddle tensor that is `array` itself, not a copy; `library` as the functions above give."""
    core = importlib.import_module("paddle.base.core") if "paddle" in sys.modules else library
    tensor = core.DenseTensor()
    tensor.set(array, core.CPUPlace(), True)
    return tensor


def _paddle_folder() -> Path:
    spec = importlib.util.find_spec("paddle")
    if spec is None or not spec.submodule_search_locations:
        raise _not_installed(None)
    return Path(spec.submodule_search_locations[0])


def _not_installed(error: ImportError | None) -> ModelError:
    return ModelError(
        "Paddle is not installed" + (f": {error}" if error else ""),
        remedy="pip install paddlepaddle",
    )
