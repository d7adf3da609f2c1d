"""Every error a user can cause, in one tree, each with its exit code.

    MonitorError                  1   base; printed as what / where / remedy, without a traceback
    ├── ConfigError              78   EX_CONFIG: the configuration cannot be used
    ├── InputError               66   EX_NOINPUT: a picture, video, folder or list cannot be read
    ├── ModelError               65   EX_DATAERR: a model is missing, broken, or scores wrongly
    ├── DatabaseError            74   EX_IOERR: the database cannot be used
    ├── ServiceError             69   EX_UNAVAILABLE: a port, server or device cannot be had
    ├── UsageError               64   EX_USAGE: options that contradict each other
    │   └── NotFoundError        64   what is named is not there
    └── BudgetError               3   the calibration is done: nothing keeps the budget

The numbers from 64 on are those of BSD's sysexits.h, so that service managers can tell them apart
(systemd: `RestartPreventExitStatus=78`).
"""

from __future__ import annotations

from typing import ClassVar


class MonitorError(Exception):
    """What went wrong, where, and what to do about it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        """One line a log can hold: `where: what (remedy)`."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.remedy})" if self.remedy else text

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process borders: keyword arguments survive pickling."""
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(kind: type[MonitorError], what: str, where: str, remedy: str) -> MonitorError:
    return kind(what, where=where, remedy=remedy)


class ConfigError(MonitorError):
    """The configuration cannot be used as it is."""

    exit_code = 78


class InputError(MonitorError):
    """A picture, video, folder or list file cannot be read."""

    exit_code = 66


class ModelError(MonitorError):
    """A model is missing, of the wrong shape, or does not score as recorded."""

    exit_code = 65


class DatabaseError(MonitorError):
    """The database cannot be reached, written, or is of an unknown schema."""

    exit_code = 74


class ServiceError(MonitorError):
    """A port, server or device that is needed cannot be had."""

    exit_code = 69


class UsageError(MonitorError):
    """Options or arguments that make no sense together."""

    exit_code = 64


class NotFoundError(UsageError):
    """There is no event, alert or hold of that name."""


class BudgetError(MonitorError):
    """Calibration found no setting that keeps the budget of false events."""

    exit_code = 3
