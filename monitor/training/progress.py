"""Progress bars on stderr; stdout is for results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Reporter(Protocol):
    """What long work tells about itself."""

    def say(self, text: str) -> None:
        """A line that stays."""
        ...

    def bar(self, title: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A bar for a with block, which is given a function to call with the items done."""
        ...


class Silent:
    """Reports nothing."""

    def say(self, text: str) -> None:
        """Ignore the line."""

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar nobody sees."""
        yield lambda _done: None


class Terminal:
    """Reports to a person: rich bars on stderr."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Print the line above the bars."""
        self._console.print(text, markup=False)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar that vanishes in the end, on terminals only."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        # In a log file a bar is only noise; lines said there are enough.
        quiet = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=quiet) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done: progress.advance(task, done)
