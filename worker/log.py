"""The log: one stream on stderr for our own records and those of the libraries.

Every record carries what is bound to the context (``structlog.contextvars``: run, pair,
correlation id). Secrets are taken out last, when all texts stand as they will be written.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import traceback
import zlib
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TextIO
from urllib.parse import quote

import structlog
from pydantic import SecretStr
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from worker.errors import MilesyncError
from worker.say import printable

Format = Literal["console", "json"]

HIDDEN: Final = "***"
SHORTEST_SECRET: Final = 4
"""A shorter text is not searched for: every other word would be torn apart by it."""
LONGEST_TEXT: Final = 64 * 1024
"""Characters of one text that are logged; what somebody sent may be of any length."""
_TORN: Final = 256
"""Characters dropped at a cut: what was torn there, the beginning of a password, is not known."""

_SECRET_KEY: Final = re.compile(r"token|api_?key|authorization|secret|passw|cookie", re.IGNORECASE)
_IN_HEADER: Final = re.compile(r"\b(basic|bearer)\s+[\w+/=.~-]{16,}", re.IGNORECASE)
# no two neighbours can take the same character: the time is a multiple of the text's length
_IN_ADDRESS: Final = re.compile(r"(://)[^\s/@:]*:[^\s/@]*@")
_process: Final[list[str]] = []
_QUIET: Final = ("alembic", "httpcore", "httpx")
_WITH_OWN_HANDLERS: Final = ("celery", "uvicorn", "uvicorn.error")
_OFF: Final = "uvicorn.access"
"""It writes a line for every call, with its query string, whoever calls."""


def configure_logging(
    level: str = "info",
    fmt: Format | None = None,
    *,
    secrets: Sequence[SecretStr] = (),
    stream: TextIO | None = None,
) -> None:
    """Send all records of ``level`` and above to ``stream`` (stderr); may be called again.

    ``fmt`` is by default console on a terminal, else json. ``secrets`` are hidden wherever they
    stand in a record.
    """
    out = stream or sys.stderr
    console = (fmt or ("console" if out.isatty() else "json")) == "console"
    number = logging.getLevelNamesMapping()[level.upper()]
    _send_everything_to(_handler(out, _renderer(out, console), Redactor(secrets)), number)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_described(), _wrapped()],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def name_process(name: str) -> None:
    """Have each record of this process and its children say that it comes from ``name``."""
    _process[:] = [name]


def _with_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name in _process:
        event["process"] = name
    return event


def _described() -> list[Processor]:
    """What is added to every record, ours or a library's."""
    return [
        _with_process,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _wrapped() -> Processor:
    return ProcessorFormatter.wrap_for_formatter


def _renderer(out: TextIO, console: bool) -> Processor:
    if not console:
        return structlog.processors.JSONRenderer()
    renderer = structlog.dev.ConsoleRenderer(
        colors=out.isatty(),
        # `describe_exception` has turned them into text; the default would print local variables
        exception_formatter=structlog.dev.plain_traceback,
    )
    return _labelled(_visible(renderer), colors=out.isatty())


def _visible(renderer: Processor) -> Processor:
    """Renders texts in which nothing moves the cursor; a list or table is shown by its repr."""

    def render(logger: WrappedLogger, method: str, event: EventDict) -> str:
        shown = {
            key: "\n".join(map(printable, value.split("\n"))) if isinstance(value, str) else value
            for key, value in event.items()
        }
        return str(renderer(logger, method, shown))

    return render


def _labelled(renderer: Processor, *, colors: bool) -> Processor:
    """The name of the process before each line of its records, in a colour of its own."""

    def render(logger: WrappedLogger, method: str, event: EventDict) -> str:
        name = event.pop("process", None)
        text = str(renderer(logger, method, event))
        if name is None:
            return text
        label = f"{name:<9} | "
        if colors:
            label = f"\x1b[{31 + (zlib.crc32(name.encode()) >> 1) % 6}m{label}\x1b[0m"
        return "\n".join(label + line for line in text.splitlines())

    return render


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, to be told from the handlers of others when logging is configured again."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say that a record was lost; the default prints it as it was, secrets too."""
        with contextlib.suppress(Exception):
            self.stream.write(f"a log record of {record.name} could not be written\n")


def _handler(out: TextIO, renderer: Processor, redactor: Redactor) -> logging.Handler:
    handler = _Handler(out)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=_described(),
            processors=[
                ProcessorFormatter.remove_processors_meta,
                describe_exception,
                redactor,
                renderer,
            ],
        )
    )
    return handler


def _send_everything_to(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    for other in list(root.handlers):
        # exactly a StreamHandler is what logging.basicConfig leaves; tests and tools subclass it
        if isinstance(other, _Handler) or type(other) is logging.StreamHandler:
            root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in _WITH_OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    access = logging.getLogger(_OFF)
    access.handlers.clear()
    access.propagate = False
    logging.captureWarnings(True)


# --- exceptions -------------------------------------------------------------------------------


def describe_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """An exception as text: of ours the message and hint, of any other the traceback."""
    error = _exception(event.pop("exc_info", None))
    if isinstance(error, MilesyncError):
        event.update(kind=error.kind, error=error.message, hint=error.hint)
    elif error:
        event["exception"] = "".join(traceback.format_exception(error)).rstrip()
    return event


def _exception(info: object) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return info[1] if isinstance(info[1], BaseException) else None
    return sys.exc_info()[1] if info else None


# --- secrets ----------------------------------------------------------------------------------


class Redactor:
    """A structlog processor that hides secrets: by the name of a key, by their text, by form."""

    def __init__(self, secrets: Sequence[SecretStr] = ()) -> None:
        texts = {secret.get_secret_value() for secret in secrets}
        forms = {form for text in texts if len(text) >= SHORTEST_SECRET for form in _forms(text)}
        known = sorted(forms, key=len)
        # the longest first, so that a secret that holds another one goes as a whole
        self._known = re.compile("|".join(map(re.escape, reversed(known)))) if known else None
        self._torn = max(_TORN, *map(len, known)) if known else _TORN

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return self._table(event)

    def text(self, text: str) -> str:
        """A text without the known secrets, and without what looks like credentials.

        Of a text longer than `LONGEST_TEXT` only the beginning, and how long it was.
        """
        if len(text) > LONGEST_TEXT:
            kept = self._hidden(text[:LONGEST_TEXT])[: -self._torn]
            return f"{kept}… ({len(text)} characters)"
        return self._hidden(text)

    def _hidden(self, text: str) -> str:
        if self._known:
            text = self._known.sub(HIDDEN, text)
        text = _IN_HEADER.sub(rf"\1 {HIDDEN}", text)
        return _IN_ADDRESS.sub(rf"\1{HIDDEN}@", text)

    def value(self, value: object) -> object:
        """A value whose texts are clean, at any depth; an unknown object becomes text."""
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, Mapping):
            return self._table(value)
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(item) for item in value]
        return self.text(str(value))

    def _table(self, table: Mapping[str, object]) -> dict[str, object]:
        return {
            self.text(str(key)): HIDDEN if _hides(key, value) else self.value(value)
            for key, value in table.items()
        }


def _forms(secret: str) -> tuple[str, str, str]:
    """A secret as it is, as it stands in a ``repr``, and as it stands in an address."""
    return secret, repr(secret)[1:-1], quote(secret, safe="")


def _hides(key: object, value: object) -> bool:
    # a count of tokens is no token
    is_plain = value is None or isinstance(value, (bool, int, float))
    return not is_plain and _SECRET_KEY.search(str(key)) is not None
