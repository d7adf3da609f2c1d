"""Paddle Inference, whole or bare.

`import paddle` takes a second of processor time and 115 MB, nearly all of it for building and
training networks. A worker process only runs one, so it loads the C++ library that
`paddle.inference` wraps, and nothing else. A process must not do both: the bare library in a
process that imports Paddle later (as a user's program may) would be loaded twice.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

from monitor.errors import ModelError


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
