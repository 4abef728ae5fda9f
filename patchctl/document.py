"""Strict YAML with places: what people write, as data, and where each value stands.

Scalars follow the core schema of YAML 1.2, not PyYAML's 1.1: ``no`` and ``on`` are text, ``0123456`` is the decimal
number 123456 (``0o17`` is octal), ``12:30:00`` and ``2026-05-01`` are text. Keys are always text, as they are written.
Anchors, aliases, tags, directives and second documents are refused; ``<<`` is a key like any other.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from patchctl.errors import InvalidError, Problem
from patchctl.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from yaml.cyaml import CParser as _Events  # type: ignore[attr-defined]
except ImportError:  # PyYAML without libyaml: the same events, slower

    class _Events(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):  # type: ignore[no-redef]
        def __init__(self, stream: str) -> None:
            yaml.reader.Reader.__init__(self, stream)
            yaml.scanner.Scanner.__init__(self)
            yaml.parser.Parser.__init__(self)


Loc = tuple[str | int, ...]

MAX_BYTES = 2**20
MAX_DEPTH = 40
MAX_DIGITS = 300  # more is no number anybody means, and Python refuses to print it

NULL = frozenset({"", "~", "null", "Null", "NULL"})
BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
NUMBER = re.compile(
    r"(?P<int>[-+]?[0-9]+)|(?P<oct>0o[0-7]+)|(?P<hex>0x[0-9a-fA-F]+)"
    r"|(?P<float>[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<inf>[-+]?\.(?:inf|Inf|INF))|(?P<nan>\.(?:nan|NaN|NAN))"
)
NUMBER_STARTS = frozenset("0123456789-+.")
# Controls, and what YAML 1.1 takes for a line end and editors do not: line numbers would differ.
ALLOWED = "\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff"
FORBIDDEN = re.compile(rf"[^{ALLOWED}]|\r(?!\n)")

# libyaml's words, ours, and whether the place to look at is where the thing began.
SYNTAX = (
    (
        "mapping values are not allowed",
        'a ": " where none can be; put the text in quotes or fix the indentation',
        False,
    ),
    ("could not find expected ':'", 'this is no "key: value"', True),
    ("did not find expected key", "the indentation does not fit the lines above, or a quote ends too early", False),
    ("did not find expected '-' indicator", "the indentation does not fit the list above", False),
    ("did not find expected ',' or ']'", 'this list is not closed: "," or "]" expected', True),
    ("did not find expected ',' or '}'", 'this mapping is not closed: "," or "}" expected', True),
    ("did not find expected node content", "a value is missing here", False),
    ("did not find expected alphabetic or numeric", 'a value cannot start with "*" or "&"; put it in quotes', True),
    ("found unexpected end of stream", "this quote is not closed", True),
    ("found unexpected document indicator", "this quote is not closed", True),
)


@dataclass(frozen=True)
class Scalar:
    """One value: what it means, what is written, its style (``""`` plain, ``'``, ``"``, ``|``, ``>``), its span."""

    start: int
    end: int
    value: str | int | float | bool | None
    text: str
    style: str


@dataclass(frozen=True)
class Items:
    """A list; ``flow`` when written in brackets. The span ends with its last item or bracket."""

    start: int
    end: int
    nodes: tuple[Node, ...]
    flow: bool


@dataclass(frozen=True)
class Entries:
    """A mapping: for each key where the key stands, and its value."""

    start: int
    end: int
    nodes: dict[str, tuple[Scalar, Node]]
    flow: bool


Node = Scalar | Items | Entries


def resolve(text: str) -> str | int | float | bool | None:
    """Return what plain ``text`` means in the core schema of YAML 1.2."""
    if text in NULL:
        return None
    if text in BOOL:
        return BOOL[text]
    found = NUMBER.fullmatch(text) if text[0] in NUMBER_STARTS and len(text) <= MAX_DIGITS else None
    if found is None:
        return text
    kind = found.lastgroup
    if kind in {"int", "oct", "hex"}:
        return int(text, {"int": 10, "oct": 8, "hex": 16}[kind])
    return float(text.replace(".", "", 1) if kind in {"inf", "nan"} else text)


def plain(node: Node) -> Any:
    """Return the data of a node: dict, list, str, int, float, bool, None."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Items):
        return [plain(item) for item in node.nodes]
    return {key: plain(value) for key, (_, value) in node.nodes.items()}


@dataclass(frozen=True)
class Document:
    """One file as read: its bytes, its values and where they stand, and what is wrong with its structure."""

    path: str
    text: str
    root: Node
    problems: tuple[Problem, ...]
    start: int  # where the YAML begins in the file, and
    end: int  # where it ends, in characters

    @property
    def source(self) -> bytes:
        """Return the file, byte for byte as it was read."""
        return self.text.encode()

    @functools.cached_property
    def data(self) -> Any:
        """Return the values; raises InvalidError when the structure is wrong (a duplicate key, an alias, …)."""
        if self.problems:
            raise InvalidError(self.problems)
        return plain(self.root)

    def node(self, loc: Loc) -> Node | None:
        """Return the node at ``loc`` (keys and list indices from the top), or None."""
        node: Node = self.root
        for step in loc:
            if isinstance(node, Entries) and step in node.nodes:
                node = node.nodes[str(step)][1]
            elif isinstance(node, Items) and isinstance(step, int) and 0 <= step < len(node.nodes):
                node = node.nodes[step]
            else:
                return None
        return node

    def key(self, loc: Loc) -> Node | None:
        """Return the node of the key that ``loc`` ends with; for a list item the item itself; None when not there."""
        parent = self.node(loc[:-1]) if loc else None
        if isinstance(parent, Entries) and loc[-1] in parent.nodes:
            return parent.nodes[str(loc[-1])][0]
        return self.node(loc)

    def mark(self, loc: Loc, *, key: bool = False) -> tuple[int, int]:
        """Return (line, column), from 1, of the value at ``loc`` or of its key; of the nearest above when not there."""
        for length in range(len(loc), -1, -1):
            node = self.key(loc[:length]) if key or length < len(loc) else self.node(loc)
            if node is not None:
                return position(self.text, node.start)
        return position(self.text, self.start)

    def problem(self, loc: Loc, message: str, *, key: bool = False) -> Problem:
        """Return ``message`` as a problem at the place of ``loc``."""
        return Problem(self.path, *self.mark(loc, key=key), message)


def position(text: str, index: int) -> tuple[int, int]:
    """Return (line, column), from 1, of the character at ``index``."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def shown(path: Path) -> str:
    """Return ``path`` as people want to read it: relative when it lies below where they stand."""
    try:
        return str(path.relative_to(Path.cwd())) if path.is_absolute() else str(path)
    except (ValueError, OSError):
        return str(path)


def read(path: Path, name: str, limit: int = MAX_BYTES) -> str:
    """Return the text of a file; raises InvalidError when it is none, PatchctlError (exit code 9) when unreadable."""
    return decode(read_regular(path, name, limit), name)


def _refused(name: str, message: str) -> InvalidError:
    return InvalidError([Problem(name, 0, 0, message)])


def decode(source: bytes, name: str) -> str:
    """Return ``source`` as text; raises InvalidError with the place of the first byte that is not UTF-8."""
    if source.startswith(b"\xef\xbb\xbf"):
        raise InvalidError([Problem(name, 1, 1, "starts with a byte order mark; save it as UTF-8 without one")])
    try:
        return source.decode()
    except UnicodeDecodeError as error:
        before = source[: error.start].decode()
        message = f"byte 0x{source[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise InvalidError([Problem(name, *position(before, len(before)), message)]) from error


def load(path: Path, name: str | None = None) -> Document:
    """Return the YAML file ``path``; ``name`` is what errors call it.

    Raises InvalidError when it cannot be parsed; what is wrong beyond syntax is kept in ``problems``.
    """
    name = name or shown(path)
    return parse(read(path, name), name)


def parse(text: str, name: str, start: int = 0, end: int | None = None) -> Document:
    """Return the YAML between the characters ``start`` and ``end`` of ``text``, a whole file called ``name``.

    Raises InvalidError when it cannot be parsed; what is wrong beyond syntax is kept in ``problems``.
    """
    end = len(text) if end is None else end
    if end - start > MAX_BYTES:
        raise _refused(name, f"holds more than {MAX_BYTES // 1024} KiB of YAML")
    reader = _Reader(text, name, start, end)
    root = reader.document()
    return Document(name, text, root, tuple(reader.problems), start, end)


class _Reader:
    """Turns events into nodes and notes all that is refused."""

    def __init__(self, text: str, name: str, start: int, end: int) -> None:
        self.text, self.name, self.start = text, name, start
        self.problems: list[Problem] = []
        forbidden = FORBIDDEN.search(text, start, end)
        if forbidden:
            raise InvalidError([self._problem_at(forbidden.start(), _forbidden(forbidden.group()))])
        self._next: Callable[[], Any] = _Events(text[start:end]).get_event

    def _problem_at(self, index: int, message: str) -> Problem:
        return Problem(self.name, *position(self.text, index), message)

    def _note(self, event: Any, message: str) -> None:
        self.problems.append(self._problem_at(self.start + event.start_mark.index, message))

    def document(self) -> Node:
        try:
            return self._document()
        except yaml.MarkedYAMLError as error:
            raise InvalidError([*self.problems, self._syntax(error)]) from error

    def _document(self) -> Node:
        self._next()
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            return Scalar(self.start, self.start, None, "", "")
        if event.version or event.tags:
            self._note(event, "directives (%) are not used here; remove it")
        root = self._node(self._next(), 0)
        self._next()
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            self._note(after, "a second document starts here; one file holds one")
        return root

    def _node(self, event: Any, depth: int) -> Node:
        kind = type(event)
        if kind is yaml.AliasEvent:
            self._note(event, f"aliases (*{event.anchor}) are not used here; write the value")
            return self._span(event, None, "", "")
        if event.anchor is not None:
            self._note(event, f"anchors (&{event.anchor}) are not used here; remove it")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._note(event, f"tags ({tag}) are not used here; remove it")
        if kind is yaml.ScalarEvent:
            return self._scalar(event)
        if depth >= MAX_DEPTH:
            problem = self._problem_at(self.start + event.start_mark.index, f"is nested more than {MAX_DEPTH} deep")
            raise InvalidError([*self.problems, problem])
        return self._items(event, depth + 1) if kind is yaml.SequenceStartEvent else self._entries(event, depth + 1)

    def _span(self, event: Any, value: Any, text: str, style: str) -> Scalar:
        start, end = self.start + event.start_mark.index, self.start + event.end_mark.index
        if style in {"|", ">"}:
            # The mark lies behind the blank lines that follow; they belong to nobody.
            end = start + len(self.text[start:end].rstrip())
        return Scalar(start, end, value, text, style)

    def _scalar(self, event: Any) -> Scalar:
        text: str = event.value
        style = event.style or ""
        if "\0" in text:
            self._note(event, "a NUL character is not allowed")
        if not style:
            return self._span(event, resolve(text), text, "")
        return self._span(event, text, text, style)

    def _items(self, event: Any, depth: int) -> Items:
        nodes: list[Node] = []
        while not isinstance(step := self._next(), yaml.SequenceEndEvent):
            nodes.append(self._node(step, depth))
        return Items(*self._extent(event, step, nodes[-1:]), tuple(nodes), bool(event.flow_style))

    def _entries(self, event: Any, depth: int) -> Entries:
        nodes: dict[str, tuple[Scalar, Node]] = {}
        last: list[Node] = []
        while not isinstance(step := self._next(), yaml.MappingEndEvent):
            key = self._node(step, depth)
            value = self._node(self._next(), depth)
            last = [value]
            if not isinstance(key, Scalar):
                self._note(step, "a key must be text, not a list or a mapping")
            elif key.text in nodes:
                line, _ = position(self.text, nodes[key.text][0].start)
                self._note(step, f'duplicate key "{key.text}"; it is already on line {line}')
            else:
                nodes[key.text] = (key, value)
        return Entries(*self._extent(event, step, last), nodes, bool(event.flow_style))

    def _extent(self, first: Any, end: Any, last: list[Node]) -> tuple[int, int]:
        """Return the span; in block style PyYAML ends it at the next token, behind comments that are not part of it."""
        start = self.start + first.start_mark.index
        closed = end.end_mark.index > end.start_mark.index
        if closed or not last:
            return start, self.start + end.end_mark.index
        return start, last[0].end

    def _syntax(self, error: yaml.MarkedYAMLError) -> Problem:
        said = error.problem or error.context or "this is not YAML"
        mark = error.problem_mark or error.context_mark
        index = self.start + (mark.index if mark else 0)
        if self.text[index : index + 1] == "\t":
            return self._problem_at(index, "a tab cannot indent YAML; use spaces")
        for theirs, ours, began in SYNTAX:
            if theirs in said:
                index = self.start + error.context_mark.index if began and error.context_mark else index
                return self._problem_at(index, ours)
        if "cannot start any token" in said:
            said = f"a value cannot start with {self.text[index : index + 1]}; put it in quotes"
        return self._problem_at(index, said)


def _forbidden(found: str) -> str:
    if found == "\r":
        return "a line ends with CR alone; save the file with LF or CRLF line ends"
    return f"the character U+{ord(found):04X} is not allowed; in double quotes it can be written as an escape"
