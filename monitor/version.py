"""The product's version, free of imports so that any room may name it."""

from __future__ import annotations

__version__ = "0.1.0"
