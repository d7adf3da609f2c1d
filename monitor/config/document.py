"""A YAML file as plain data that still knows where each part of it stood."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from monitor.config.problems import KeyPath, Problem, Severity
from monitor.config.secrets import SecretError, fill, has_placeholder
from monitor.telemetry import redact

_MERGE_TAG = "tag:yaml.org,2002:merge"
_NULL_TAG = "tag:yaml.org,2002:null"
_MAX_NODES = 100_000
_TAB_INDENT = re.compile(r"^ *\t", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key and its value stand, both (line, column) from 1; `secret` values stay unsaid."""

    key: tuple[int, int]
    value: tuple[int, int]
    secret: bool = False


@dataclass(slots=True)
class Document:
    """The file as data (None when it could not be read), its places, and what was wrong."""

    file: str
    data: Any = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath) -> Place:
        """The place of `path`, or of the nearest part above it that is written down."""
        for length in range(len(path), -1, -1):
            if found := self.places.get(path[:length]):
                return found
        return Place((1, 1), (1, 1))

    def add(
        self,
        path: KeyPath,
        what: str,
        allowed: str = "",
        *,
        at: tuple[int, int] | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a problem at `path`, by default where its key stands; logins are masked."""
        line, column = at or self.place(path).key
        texts = redact(what), redact(allowed)
        self.problems.append(Problem(self.file, line, column, path, *texts, severity))


def read_document(path: Path) -> Document:
    """Read a YAML file; everything wrong with it as text is in `problems`, nothing is raised."""
    document = Document(str(path))
    text = _read_text(path, document)
    if text is None:
        return document
    root = _compose(text, document)
    if document.problems:
        return document
    if root is None or root.tag == _NULL_TAG:
        document.add((), "the file is empty", "at least cameras: with one camera", at=(1, 1))
        return document
    try:
        document.data = _Walker(document).walk(root, (), _start(root))
    except RecursionError:
        document.add((), "values are nested too deeply", at=(1, 1))
    return document


def _read_text(path: Path, document: Document) -> str | None:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        document.add((), "this byte is no UTF-8 text", "save it as UTF-8", at=(line, column))
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no usable path"
        remedy = "name an existing YAML file; configs/example.yaml is one to start from"
        document.add((), f"cannot be read: {reason}", remedy, at=(0, 0))
    return None


def _compose(text: str, document: Document) -> Node | None:
    try:
        with warnings.catch_warnings(action="ignore"):  # an anchor may be defined again
            return YAML(typ="safe", pure=True).compose(text)  # type: ignore[no-any-return]
    except ReaderError as error:
        before = text[: error.position]
        at = before.count("\n") + 1, error.position - before.rfind("\n")
        document.add((), "a control character", "printable text only", at=at)
    except MarkedYAMLError as error:
        for tab in _TAB_INDENT.finditer(text):
            line = text.count("\n", 0, tab.start()) + 1
            column = tab.end() - tab.start()
            document.add((), "a tab indents this line", "indent with spaces", at=(line, column))
        if not document.problems:
            what, allowed = _explain_syntax(error)
            mark = error.problem_mark or error.context_mark
            at = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            document.add((), what, allowed, at=at)
    except (YAMLError, RecursionError, ValueError):
        document.add((), "this is no YAML that can be read", at=(1, 1))
    return None


def _explain_syntax(error: MarkedYAMLError) -> tuple[str, str]:
    """Words for the parser's commonest complaints; none repeats a value of the file."""
    problem = str(error.problem or "")
    known = {
        "mapping values are not allowed": (
            "a second ': ' in one line, or a line indented more than its neighbours",
            'one key a line; quote values that hold ": "',
        ),
        "another document": ("a second document starts here (---)", "one document a file"),
        "undefined alias": ("an alias (*name) without its anchor (&name)", "quote text with *"),
        "end of stream": ("a quote or bracket is never closed", "close it"),
        "<stream end>": ("a quote or bracket is never closed", "close it"),
        "<block end>": (
            "this line does not fit the ones above it",
            "keys of one level start in the same column; lists use '- '",
        ),
        "cannot start any token": (
            "this character cannot start a value",
            "quote values that start with % @ ` or other signs",
        ),
        "could not find expected ':'": ("a key without ': ' after it", "key: value"),
    }
    for sign, words in known.items():
        if sign in problem:
            return words
    return "YAML cannot be read here", "key: value, nested by spaces"


def _start(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


class _Walker:
    """Turns nodes into data, noting places; one instance a file."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._scalars = YAML(typ="safe", pure=True).constructor
        self._open: set[int] = set()
        self._count = 0

    def walk(self, node: Node, path: KeyPath, key: tuple[int, int]) -> Any:
        """The data of `node`, whose key stands at `key`."""
        self._count += 1
        if id(node) in self._open:
            self._document.add(path, "an alias of something it stands in", at=_start(node))
            return None
        if self._count > _MAX_NODES:  # aliases of aliases multiply
            if self._count == _MAX_NODES + 1:
                self._document.add((), f"more than {_MAX_NODES} values", at=_start(node))
            return None
        empty = isinstance(node, ScalarNode) and not node.value and node.style is None
        self._document.places[path] = Place(key, key if empty else _start(node))
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            if isinstance(node, SequenceNode):
                items = enumerate(node.value)
                return [self.walk(item, (*path, i), _start(item)) for i, item in items]
            return self._scalar(node, path) if isinstance(node, ScalarNode) else None
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[str, tuple[int, int]] = {}
        for key, value in self._entries(node, path):
            name = key.value
            if name in first:
                line = first[name][0]
                what = f"{_noun(path)} {name!r} appears twice, first in line {line}"
                allowed = f"each once; rename or remove line {line} or line {_start(key)[0]}"
                self._document.add((*path, name), what, allowed, at=_start(key))
                continue
            first[name] = _start(key)
            result[name] = self.walk(value, (*path, name), _start(key))
        for key, value in self._merged(node, path):
            if key.value not in result:
                result[key.value] = self.walk(value, (*path, key.value), _start(key))
        return result

    def _entries(self, node: MappingNode, path: KeyPath) -> Iterator[tuple[ScalarNode, Node]]:
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._document.add(path, "a list or mapping as a key", "text", at=_start(key))
            elif key.tag != _MERGE_TAG:
                yield key, value

    def _merged(self, node: MappingNode, path: KeyPath) -> Iterator[tuple[ScalarNode, Node]]:
        """What `<<: *anchor` brings in; the mapping's own keys go before it."""
        for key, value in node.value:
            if key.tag != _MERGE_TAG:
                continue
            sources = value.value if isinstance(value, SequenceNode) else [value]
            for source in sources:
                if isinstance(source, MappingNode) and source is not node:
                    yield from self._entries(source, path)
                else:
                    self._document.add(path, "<< takes an alias of a mapping", at=_start(key))

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        try:
            value = self._scalars.construct_object(node)
        except (ConstructorError, ValueError):
            self._document.add(path, "a YAML tag or value of unknown kind", at=_start(node))
            return None
        if not isinstance(value, str) or not has_placeholder(value):
            return value
        place = self._document.places[path]
        self._document.places[path] = Place(place.key, place.value, secret=True)
        try:
            return fill(value)
        except SecretError as error:
            self._document.add(path, *error.args, at=place.value)
            return None


def _noun(path: KeyPath) -> str:
    names = {("cameras",): "camera", ("zones",): "zone"}
    return names.get(path[-1:], "key")  # type: ignore[arg-type]
