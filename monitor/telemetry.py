"""The log: structlog on stderr for people or machines, and no password in it, ever.

Everything that is logged, by this program or by a library it uses, ends in the one handler of
the standard library's root logger. That handler's formatter runs one redaction over message,
values, exception and stack before anything is rendered, so there is no second way out.
Uncaught exceptions of threads and Python warnings take the same road.

Metrics are counted where things happen; `monitor.web` collects them when it is asked.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Mapping, Set
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK = "***"

_Span = tuple[int, int]

_NAMES = r"(?:pass(?:word|wd|phrase)?|pwd|pw|token|api[-_]?key|secret|credentials?|signature)"
_AND = r"(?:&|%(?:25)*26)"
_SECRETS = (
    re.compile(
        rf"{_NAMES}['\"]?(?:=|%(?:25)*3D)(?P<secret>(?:(?!{_AND})\S)+)",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?:password|passwd|passphrase|pwd|secret)['\"]?\s*:\s*"
        r"(?P<secret>(['\"]?)\S+?\2)(?=[\s,;)}\]]|$)",
        re.IGNORECASE,
    ),
    re.compile(
        r"authorization['\"]?\s*[:=]\s*['\"]?(?:basic|digest|bearer)\s(?P<secret>[^\r\n]*)",
        re.IGNORECASE,
    ),
)
_SECRET_KEY = re.compile(
    r"(?:password|passwd|passphrase|pwd|token|api[-_]?key|secret|credentials?|authorization)$"
    r"|(?:^|[-_.])pass$",
    re.IGNORECASE,
)

_RUN = re.compile(r"\S+")
_SLASHES = re.compile(r"\\?/\\?/")
_ENCODED_SLASHES = re.compile(r"%(?:25)*3A(?:%(?:25)*2F){2}", re.IGNORECASE)
_ENCODED_AT = re.compile(r"%(?:25)*40")
_AUTHORITY_END = re.compile(r"[/?#\\]")
_BEFORE_LOGIN = re.compile(r".*[\s'\"=(\[{,]|")
_LOGIN = re.compile(r"[^@/:]+:[^/@]")


def redact(text: str) -> str:
    """`text` without credentials: user part of URLs, secret query values, auth headers.

    Works on any text around the URLs, on several URLs, on percent-encoded ones, and on
    passwords that hold `@`, `:`, `/`, `?` or `#` unescaped (white space is where a URL ends).
    When in doubt it removes too much: everything between `//` and the last `@`. A line that
    lost a harmless path is better than a line that shows half a password.
    """
    spans = [match.span("secret") for rule in _SECRETS for match in rule.finditer(text)]
    if "@" in text or "%" in text:
        for run in _RUN.finditer(text):
            spans += [(run.start() + a, run.start() + b) for a, b in _logins(run[0])]
    return _masked(text, spans) if spans else text


def _masked(text: str, spans: list[_Span]) -> str:
    """`text` with the union of the spans replaced, each connected part by one mask."""
    parts, done = [], 0
    end = -1
    for start, stop in sorted(spans):
        if start > end:
            parts += [text[done:start], MASK]
        end = done = max(end, stop)
    return "".join([*parts, text[done:]])


def _logins(run: str) -> list[_Span]:
    """Where a run without white space holds logins; takes time linear in its length."""
    spans = []
    if slashes := _ENCODED_SLASHES.search(run):
        ats = list(_ENCODED_AT.finditer(run, slashes.end()))
        if ats:
            spans.append((slashes.end(), ats[-1].start()))
    last_at = run.rfind("@")
    if last_at < 0:
        return spans
    if slashes := _SLASHES.search(run, 0, last_at):
        if not _is_path(run[slashes.end() : last_at]):
            spans.append((slashes.end(), last_at))
    else:
        before = _BEFORE_LOGIN.match(run, 0, last_at)
        start = before.end() if before else 0
        if _LOGIN.match(run, start):
            spans.append((start, last_at))
    return spans


def _is_path(login: str) -> bool:
    """True for the `host/` of `//host/@name`: the host has neither user nor port."""
    authority = _AUTHORITY_END.split(login, maxsplit=1)[0]
    return authority != login and ":" not in login and "@" not in login


def redact_value(value: Any) -> Any:
    """`value` with every text in it redacted; mappings and collections are copied.

    Values under keys such as `password` or `api_token` are masked whole. Objects become
    their redacted text.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact(str(value))
    if isinstance(value, Mapping):
        return {_plain(key): _redact_item(_plain(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | Set):
        return [redact_value(item) for item in value]
    return redact(_plain(value))


def _redact_item(key: str, value: Any) -> Any:
    return MASK if _SECRET_KEY.search(key) and value is not None else redact_value(value)


def _plain(value: object) -> str:
    try:
        return redact(value if isinstance(value, str) else str(value))
    except Exception:  # noqa: BLE001 - a broken __str__ must not cost the log line
        return f"<{type(value).__name__}>"


def _redact_event(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """The one redaction processor; runs after exceptions have become text."""
    return {key: _redact_item(key, value) for key, value in event.items()}


def _add_thread(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Say which thread spoke, unless it is the main one."""
    record = event.get("_record")
    thread = record.threadName if record is not None else threading.current_thread().name
    if thread and thread != "MainThread":
        event.setdefault("thread", thread)
    return event


def camera_context(camera: str) -> AbstractContextManager[None]:
    """Within it, every line this thread logs (libraries included) carries `camera=`."""
    return structlog.contextvars.bound_contextvars(camera=camera)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The structured logger of a module: `log = get_logger(__name__)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


class LoggingSettings(Protocol):
    """What is needed of `monitor.config.LoggingConfig`."""

    @property
    def format(self) -> str:
        """`console` or `json`."""
        ...

    @property
    def level(self) -> str:
        """`debug`, `info`, `warning` or `error`."""
        ...


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is now, and never prints the arguments of a broken call."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(stream)
        self._fixed = stream is not None

    def emit(self, record: logging.LogRecord) -> None:
        if not self._fixed:
            self.stream = sys.stderr
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        kind = sys.exc_info()[0]
        text = f"log line from {record.name} lost: {kind.__name__ if kind else 'error'}\n"
        try:
            self.stream.write(text)
        except (OSError, ValueError):
            return  # stderr is gone; there is nobody to tell


def configure_logging(settings: LoggingSettings, *, stream: TextIO | None = None) -> None:
    """Send all logs through one redacting handler on stderr (or `stream`); safe to repeat.

    Replaces the stream handlers of the root logger, captures `warnings`, and routes uncaught
    exceptions of every thread into the log.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        _add_thread,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                _redact_event,
                _renderer(settings.format, stream or sys.stderr),
            ],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        if type(old) in (logging.StreamHandler, _Handler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    _quieten()
    _hook_uncaught()


def _renderer(form: str, stream: TextIO) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=32
    )


def _quieten() -> None:
    """Libraries whose every request is no news here."""
    for name in ("httpx", "httpcore", "apscheduler", "uvicorn", "uvicorn.error", "alembic"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = True
        logger.handlers.clear()


def _hook_uncaught() -> None:
    log = logging.getLogger("monitor.uncaught")

    def in_main(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            log.critical("uncaught exception", exc_info=(kind, error, trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "?"
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            info = (args.exc_type, args.exc_value, args.exc_traceback)
            log.critical("uncaught exception in thread %s", name, exc_info=info)

    sys.excepthook = in_main
    threading.excepthook = in_thread
    logging.captureWarnings(True)
