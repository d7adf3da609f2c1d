#!/usr/bin/env python3
"""Entry of the presence monitor; everything is in `monitor.cli`."""

from __future__ import annotations

from monitor.cli import main

if __name__ == "__main__":
    main()
