"""Edits of YAML that change only the bytes they are about: a comment never moves, an untouched line never changes.

Each edit gives the bytes of the whole file and is proven before it is returned: they are parsed again and must hold
exactly the data meant. What cannot be done that way is refused with the place, for a person to do.
"""

from __future__ import annotations

import functools
import json
import operator
import re
from typing import TYPE_CHECKING, Any

from patchctl.document import FORBIDDEN, Document, Entries, Items, Loc, Node, Scalar, parse, plain, resolve
from patchctl.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Value = str | int | float | bool | None
Cut = tuple[int, int, str]  # what replaces the characters from, to

PLAIN = re.compile(r"[A-Za-z0-9_./](?:[A-Za-z0-9_./+@#-]|:(?=/)| (?=[A-Za-z0-9]))*")
BETWEEN = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")  # blanks, line ends and comments


def splice(document: Document, loc: Loc, new_text: str) -> bytes:
    """Return the file with the value at ``loc`` written as ``new_text``, which is YAML; all other bytes stay.

    Raises KeyError when nothing is at ``loc``, InvalidError when the result cannot be parsed or changes more than that.
    """
    cut = _cut(document.text, _at(document, loc), new_text)
    source = _apply(document.text, [cut])
    done = _parsed(document, source)
    meant = _changed(document, loc, lambda parent, step: parent.__setitem__(step, _get(done, loc)))
    return _proven(document, loc, source, meant)


def set_scalar(document: Document, loc: Loc, value: Value) -> bytes:
    """Return the file with the scalar at ``loc`` set to ``value``, quoted as it was or as it must be.

    Raises KeyError when nothing is at ``loc``, InvalidError when the place does not allow it.
    """
    node = _at(document, loc)
    if not isinstance(node, Scalar):
        raise InvalidError([document.problem(loc, "holds no single value; edit it by hand")])
    source = _apply(document.text, [_cut(document.text, node, render(value, node.style))])
    return _proven(document, loc, source, _changed(document, loc, lambda parent, step: parent.__setitem__(step, value)))


def remove_item(document: Document, loc: Loc) -> bytes:
    """Return the file without the list item at ``loc``; in block style its lines go, with the comment on them.

    Comments on lines of their own stay where they are. Raises KeyError when there is no such item, InvalidError when
    the list is written so that only a person can take it out.
    """
    parent, index = _item(document, loc)
    cuts = (_remove_flow if parent.flow else _remove_block)(document.text, parent, index)
    meant = _changed(document, loc, lambda items, step: items.pop(step))
    return _proven(document, loc, _apply(document.text, cuts), meant)


def insert_item_after(document: Document, loc: Loc, value: Value) -> bytes:
    """Return the file with ``value`` as a new item after the one at ``loc``; a last step of -1 puts it first.

    Raises KeyError when there is no such item, InvalidError when the list is written so that only a person can do it.
    """
    parent, index = _item(document, loc, least=-1)
    cuts = (_insert_flow if parent.flow else _insert_block)(document.text, parent, index, render(value))
    meant = _changed(document, loc, lambda items, step: items.insert(step + 1, value))
    return _proven(document, loc, _apply(document.text, cuts), meant)


def add_key(document: Document, loc: Loc, key: str, new_text: str) -> bytes:
    """Return the file with ``key: new_text``, which is YAML, at the end of the mapping at ``loc`` (``()``: the whole).

    Raises KeyError when no mapping is there or it has the key, InvalidError when it is written so that only a person
    can do it.
    """
    parent = document.node(loc)
    if not isinstance(parent, Entries) or key in parent.nodes:
        raise KeyError((*loc, key))
    cut = (_add_flow if parent.flow else _add_block)(document.text, parent, f"{key}: {new_text}")
    source = _apply(document.text, [cut])
    done = _parsed(document, source)
    if document.problems:
        raise InvalidError(document.problems)
    meant = plain(document.root)
    functools.reduce(operator.getitem, loc, meant)[key] = _get(done, (*loc, key))
    return _proven(document, loc, source, meant)


def render(value: Value, style: str = "") -> str:
    """Return ``value`` as one YAML scalar that means just that, quoted as ``style`` says or as needed."""
    if not isinstance(value, str):
        return json.dumps(value)
    if style == "'" and "\n" not in value and not FORBIDDEN.search(value):
        return "'" + value.replace("'", "''") + "'"
    if style != '"' and PLAIN.fullmatch(value) and isinstance(resolve(value), str):
        return value
    return FORBIDDEN.sub(_escape, json.dumps(value, ensure_ascii=False))


def _escape(found: re.Match[str]) -> str:
    return f"\\U{ord(found.group()):08X}"


def _at(document: Document, loc: Loc) -> Node:
    node = document.node(loc)
    if node is None or not loc:
        raise KeyError(loc)
    return node


def _item(document: Document, loc: Loc, least: int = 0) -> tuple[Items, int]:
    parent, index = document.node(loc[:-1]), loc[-1]
    if not isinstance(parent, Items) or not isinstance(index, int) or not least <= index < len(parent.nodes):
        raise KeyError(loc)
    return parent, index


def _cut(text: str, node: Node, new: str) -> Cut:
    glued = node.start == node.end and text[node.start - 1 : node.start] in {":", "-"}
    return node.start, node.end, f" {new}" if glued else new


def _apply(text: str, cuts: Sequence[Cut]) -> bytes:
    for start, end, new in sorted(cuts, reverse=True):
        text = text[:start] + new + text[end:]
    return text.encode()


def _parsed(document: Document, source: bytes) -> Any:
    text = source.decode()
    tail = len(document.text) - document.end
    return parse(text, document.path, document.start, len(text) - tail).data


def _get(data: Any, loc: Loc) -> Any:
    try:
        return functools.reduce(operator.getitem, loc, data)
    except (KeyError, IndexError, TypeError):
        return None


def _changed(document: Document, loc: Loc, change: Callable[[Any, Any], object]) -> Any:
    """Return the document's data as they will be after ``change`` at ``loc``."""
    if document.problems:
        raise InvalidError(document.problems)
    meant = plain(document.root)
    change(_get(meant, loc[:-1]), loc[-1])
    return meant


def _proven(document: Document, loc: Loc, source: bytes, meant: Any) -> bytes:
    try:
        holds = _parsed(document, source) == meant
    except InvalidError:
        holds = False
    if not holds:
        raise InvalidError([document.problem(loc, "is written so that only a person can change it; edit it by hand")])
    return source


# --- block lists: one dash a line -----------------------------------------------------------------------------------


def _dash(text: str, parent: Items, index: int) -> int:
    """Return where the dash of an item is: the first thing after the item before that is no comment."""
    start = parent.nodes[index - 1].end if index else parent.start
    found = BETWEEN.match(text, start)
    return found.end() if found else start


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _line_end(text: str, index: int) -> int:
    """Return where the next line starts."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _without_break(text: str, end: int) -> int:
    """Return where the line that ends at ``end`` ends without its line end."""
    stop = end - text.endswith("\n", 0, end)
    return stop - text.endswith("\r", 0, stop)


def _line_break(text: str) -> str:
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def _remove_block(text: str, parent: Items, index: int) -> list[Cut]:
    dash = _dash(text, parent, index)
    end = _line_end(text, parent.nodes[index].end)
    start = _line_start(text, dash)
    indent = text[start:dash]
    if len(parent.nodes) == 1:
        # Brackets in the first column would end the mapping that the list belongs to.
        return [(dash, _without_break(text, end), "[]" if indent else " []")]
    if indent.strip():
        # "- - a": the outer dash stays on this line, and the next item comes up to it.
        return [(dash, _dash(text, parent, index + 1) if index + 1 < len(parent.nodes) else end, "")]
    return [(start, end, "")]


def _insert_block(text: str, parent: Items, index: int, new: str) -> list[Cut]:
    first = _dash(text, parent, 0)
    indent = " " * (first - _line_start(text, first))
    if index < 0:
        return [(first, first, f"- {new}{_line_break(text)}{indent}")]
    end = _line_end(text, parent.nodes[index].end)
    if text[end - 1 : end] != "\n":
        return [(end, end, f"{_line_break(text)}{indent}- {new}")]
    return [(end, end, f"{indent}- {new}{_line_break(text)}")]


# --- flow lists: brackets and commas --------------------------------------------------------------------------------

OWN_LINE = re.compile(r"[ \t]*,?[ \t]*(?:#[^\n]*)?\r?\n")


def _comma(text: str, index: int) -> int | None:
    """Return where the comma after ``index`` is, blanks and comments between skipped, or None."""
    found = BETWEEN.match(text, index)
    at = found.end() if found else index
    return at if text[at : at + 1] == "," else None


def _own_line(text: str, node: Node) -> tuple[int, int] | None:
    """Return the span of the lines that hold a flow item and nothing else, or None."""
    start = _line_start(text, node.start)
    found = OWN_LINE.match(text, node.end)
    return (start, found.end()) if found and not text[start : node.start].strip() else None


def _remove_flow(text: str, parent: Items, index: int) -> list[Cut]:
    node = parent.nodes[index]
    comma = _comma(text, node.end)
    lines = _own_line(text, node)
    if lines and (comma is None or comma < lines[1]):
        return [(*lines, "")]
    if comma is not None:
        return _with_comma(text, node, comma)
    before = _comma(text, parent.nodes[index - 1].end) if index else None
    if before is not None and not text[before + 1 : node.start].strip(" \t"):
        return [(before, node.end, "")]
    return [(node.start, node.end, "")]


def _with_comma(text: str, node: Node, comma: int) -> list[Cut]:
    if text[node.end : comma].strip(" \t"):
        return [(node.start, node.end, ""), (comma, comma + 1, "")]
    end = comma + 1
    while text[end : end + 1] in {" ", "\t"}:
        end += 1
    # A comment needs a blank before it.
    return [(node.start, end if text[end : end + 1] not in {"#", "\r", "\n"} else comma + 1, "")]


def _insert_flow(text: str, parent: Items, index: int, new: str) -> list[Cut]:
    if not parent.nodes:
        return [(parent.start + 1, parent.start + 1, new)]
    node = parent.nodes[max(index, 0)]
    lines = _own_line(text, node)
    indent = text[lines[0] : node.start] if lines else ""
    if index < 0:
        return [(node.start, node.start, f"{new},{_line_break(text)}{indent}" if lines else f"{new}, ")]
    if not lines:
        return [(node.end, node.end, f", {new}")]
    comma = _comma(text, node.end)
    if comma is not None and comma < lines[1]:
        return [(lines[1], lines[1], f"{indent}{new},{_line_break(text)}")]
    return [(node.end, node.end, ","), (lines[1], lines[1], f"{indent}{new}{_line_break(text)}")]


# --- mappings ---------------------------------------------------------------------------------------------------------


def _add_flow(text: str, parent: Entries, new: str) -> Cut:
    brace = parent.end - 1
    last = max((node.end for _, node in parent.nodes.values()), default=None)
    if last is None:
        return brace, brace, new
    comma = _comma(text, last)
    return (comma + 1, comma + 1, f" {new}") if comma is not None else (last, last, f", {new}")


def _add_block(text: str, parent: Entries, new: str) -> Cut:
    first, _ = next(iter(parent.nodes.values()))
    indent = text[_line_start(text, first.start) : first.start]
    end = _line_end(text, max(max(name.end, node.end) for name, node in parent.nodes.values()))
    line = f"{' ' * len(indent)}{new}"
    return end, end, f"{line}{_line_break(text)}" if text[end - 1 : end] == "\n" else f"{_line_break(text)}{line}"
