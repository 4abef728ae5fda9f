"""The files of a commit as a value, and the words of ``situations.yaml`` applied to it. No git in here."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.upstreams.rows import Commit

State = dict[str, tuple[str, bytes]]

START: State = {
    f"{name}.c": ("100644", "".join(f"{name} {line}\n" for line in range(1, 41)).encode())
    for name in ("engine", "server")
}


def after(state: State, commit: Commit, by_word: Callable[[Commit], Commit | State] | None = None) -> State:
    """Return the files after ``commit``; ``by_word`` resolves ``land`` (to a change) and ``revert`` (to files)."""
    if (commit.land or commit.revert) and by_word:
        named = by_word(commit)
        if isinstance(named, dict):
            return dict(named)
        state = after(state, named)
        commit = replace(commit, land=None)
    files = dict(state)
    for old, new in commit.rename.items():
        files[new] = files.pop(old)
    for old, new in commit.copy.items():
        files[new] = files[old]
    for path in commit.delete:
        del files[path]
    for path, text in commit.write.items():
        files[path] = (files.get(path, ("100644",))[0], text.encode())
    for path, edits in commit.edit.items():
        mode, content = files[path]
        files[path] = (mode, _edited(path, content.decode(), edits).encode())
    files.update({path: ("100644", _blocks(letters)) for path, letters in commit.binary.items()})
    files.update({path: ("120000", target.encode()) for path, target in commit.link.items()})
    files.update({path: ("160000", (digit * 40).encode()) for path, digit in commit.submodule.items()})
    for path, mode_number in commit.mode.items():
        files[path] = (str(mode_number), files[path][1])
    return files


def changes(before: State, now: State) -> Iterator[tuple[str, tuple[str, bytes] | None]]:
    """Return each path that differs with its new mode and content, removed ones first with None."""
    yield from ((path, None) for path in sorted(before.keys() - now.keys()))
    yield from ((path, entry) for path, entry in sorted(now.items()) if before.get(path) != entry)


def _blocks(letters: str) -> bytes:
    """Return 600 bytes for each letter, always the same ones, with every value of a byte among them."""
    return (
        b"".join(hashlib.sha256(f"{letter}{part}".encode()).digest() for letter in letters for part in range(19))[
            : 600 * len(letters)
        ]
        + b"\0"
    )


def _edited(path: str, text: str, edits: dict[Any, Any]) -> str:
    final = text.endswith("\n")
    lines = text.removesuffix("\n").split("\n")
    for where, what in edits.items():
        new = [] if what is None else what if isinstance(what, list) else [what]
        first, end = _place(path, lines, str(where))
        lines[first:end] = map(str, new)
    return "\n".join(lines) + ("\n" if final else "")


def _place(path: str, lines: list[str], where: str) -> tuple[int, int]:
    """Return the lines, first and one past the last, that ``where`` names; each text must stand there exactly once."""
    if where.startswith("after "):
        return (_line(path, lines, where[6:]) + 1,) * 2
    if where.startswith("before "):
        return (_line(path, lines, where[7:]),) * 2
    first, _, last = where.partition(" .. ")
    return _line(path, lines, first), _line(path, lines, last or first) + 1


def _line(path: str, lines: list[str], text: str) -> int:
    if lines.count(text) != 1:
        raise ValueError(f"{path} has the line {text!r} {lines.count(text)} times")
    return lines.index(text)
