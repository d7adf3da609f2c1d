"""Paddle Inference, whole or bare.

`import paddle` takes a second of processor time and 115 MB, nearly all of it for building and
training networks. A worker process only runs one, so it loads the C++ library that
`paddle.inference` wraps, and nothing else. A process must not do both: the bare library in a
process that imports Paddle later (as a user's program may) would be loaded twice.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import warnings
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any, Final

from monitor.errors import ModelError

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
"""malloc.h of glibc."""


def keep_memory() -> None:
    """Tell glibc to keep freed memory, in this whole process, instead of giving it back.

    For programs whose work is scoring: otherwise each batch asks for its layers' memory again,
    which takes a fifth of its time. Elsewhere than on glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)


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
    spec = importlib.util.find_spec("paddle")
    if spec is None or not spec.submodule_search_locations:
        raise _not_installed(None)
    path = Path(spec.submodule_search_locations[0]) / "base" / "libpaddle.so"
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


def _not_installed(error: ImportError | None) -> ModelError:
    return ModelError(
        "Paddle is not installed" + (f": {error}" if error else ""),
        remedy="pip install paddlepaddle",
    )
