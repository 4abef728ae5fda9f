"""Read and change trees of a bare repository without a checkout and without an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from patchctl.git import Repo

FOLDER = "40000"
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


class Entry(NamedTuple):
    """One entry of a tree: mode as git writes it (``100644``), object id."""

    mode: str
    oid: str


class PathClashError(ValueError):
    """A path runs through a file, or stands where a folder is."""


class Trees:
    """Trees by id, parsed once; new ones are written to the repository."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        self._parsed: dict[str, dict[str, Entry]] = {EMPTY_TREE: {}}

    def entries(self, tree: str) -> dict[str, Entry]:
        """Return the entries of one tree, not of those below it, in git's order."""
        known = self._parsed.get(tree)
        if known is None:
            known = self._parsed[tree] = parse_tree(self.repo.read(tree, "tree"))
        return known

    def entry(self, tree: str, path: str) -> Entry | None:
        """Return what stands at ``path`` (a folder too), or None."""
        *folders, name = path.split("/")
        for folder in folders:
            below = self.entries(tree).get(folder)
            if below is None or below.mode != FOLDER:
                return None
            tree = below.oid
        return self.entries(tree).get(name)

    def changed(self, before: str, after: str, prefix: str = "") -> Iterator[tuple[str, Entry]]:
        """Return each path that is new or another in ``after``, with its entry; only what differs is read."""
        if before == after:
            return
        old = self.entries(before)
        for name, entry in self.entries(after).items():
            was = old.get(name)
            if was == entry:
                continue
            if entry.mode == FOLDER:
                below = was.oid if was and was.mode == FOLDER else EMPTY_TREE
                yield from self.changed(below, entry.oid, f"{prefix}{name}/")
            else:
                yield prefix + name, entry

    def edit(self, tree: str, edits: Mapping[str, Entry | None]) -> str:
        """Return the id of ``tree`` with each path set to an entry, or removed where it is None.

        Raises PathClashError when a path would run through a file or replace a folder; folders left empty go. As in an
        index, a folder is no path: removing one by its name changes nothing.
        """
        return self._edit(tree, {tuple(path.split("/")): entry for path, entry in edits.items()}) or EMPTY_TREE

    def _edit(self, tree: str, edits: Mapping[tuple[str, ...], Entry | None]) -> str | None:
        entries = dict(self.entries(tree))
        below: dict[str, dict[tuple[str, ...], Entry | None]] = {}
        # Removals first: a folder may take the place of a file that the same edit removes.
        for path, entry in sorted(edits.items(), key=lambda edit: edit[1] is not None):
            if len(path) > 1:
                below.setdefault(path[0], {})[path[1:]] = entry
            elif entry is None and path[0] in entries and entries[path[0]].mode != FOLDER:
                del entries[path[0]]
        for name, inner in below.items():
            self._edit_folder(entries, name, inner)
        for path, entry in edits.items():
            if len(path) == 1 and entry is not None:
                if entries.get(path[0], entry).mode == FOLDER:
                    raise PathClashError(path[0])
                entries[path[0]] = entry
        return self._write(entries, self.entries(tree)) if entries else None

    def _edit_folder(self, entries: dict[str, Entry], name: str, inner: Mapping[tuple[str, ...], Entry | None]) -> None:
        here = entries.get(name)
        if here is not None and here.mode != FOLDER:
            if all(entry is None for entry in inner.values()):
                return
            raise PathClashError(name)
        made = self._edit(here.oid if here else EMPTY_TREE, inner)
        if made is None:
            entries.pop(name, None)
        else:
            entries[name] = Entry(FOLDER, made)

    def _write(self, entries: dict[str, Entry], before: Mapping[str, Entry]) -> str:
        # What stays a file or a folder, or goes, leaves the order as it was; sorting large folders is dear.
        kept = all(name in before and _is_folder(before[name]) == _is_folder(one) for name, one in entries.items())
        ordered = entries if kept else dict(sorted(entries.items(), key=_git_order))
        tree = self.repo.write("tree", format_tree(ordered))
        self._parsed[tree] = ordered
        return tree


def _is_folder(entry: Entry) -> bool:
    return entry.mode == FOLDER


def _git_order(item: tuple[str, Entry]) -> bytes:
    """Folders sort as if their name ended in a slash."""
    name, entry = item
    return (name + "/" if entry.mode == FOLDER else name).encode("utf-8", "surrogateescape")


def parse_tree(raw: bytes) -> dict[str, Entry]:
    """Return the entries of a tree object's content: ``mode SP name NUL 20-byte-id``, repeated."""
    found: dict[str, Entry] = {}
    at = 0
    while at < len(raw):
        space = raw.index(b" ", at)
        end = raw.index(b"\0", space)
        name = raw[space + 1 : end].decode("utf-8", "surrogateescape")
        found[name] = Entry(raw[at:space].decode(), raw[end + 1 : end + 21].hex())
        at = end + 21
    return found


def format_tree(entries: Mapping[str, Entry]) -> bytes:
    """Return the content of the tree object with these entries, which are in git's order."""
    return b"".join(
        b"%s %s\0%s" % (mode.encode(), name.encode("utf-8", "surrogateescape"), bytes.fromhex(oid))
        for name, (mode, oid) in entries.items()
    )
