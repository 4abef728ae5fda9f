"""``patchctl cache``: what lies in the cache folder, and how to free it; everything in it can be made again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command
from patchctl.cli.ui import table
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BISECT = "bisect"
SOLUTIONS = "solutions"
PARTS = {
    "store": "upstream's objects",
    SOLUTIONS: "how conflicts were solved, in the store",
    "build": "sources and build folders",
    "ccache": "compiled in a sandbox",
    "models": "models made to test and measure with",
    BISECT: "sources, builds and logs of bisects",
    "forecast": "sources and build folders of forecasts",
    "review": "differences that status found",
    "logs": "logs of builds and tests",
}


@command("cache")
@click.option(
    "--free", "parts", multiple=True, type=click.Choice([*PARTS, "all"]), help="Remove this part (repeatable)."
)
def cache(app: App, *, parts: tuple[str, ...]) -> int:
    """Show what the cache holds, or free a part of it. Nothing in it is evidence: all can be made again.

    \b
    patchctl cache
    patchctl cache --free build
    """
    wanted = list(PARTS) if "all" in parts else list(dict.fromkeys(parts))
    freed = {part: _size_of(app, part) for part in wanted}
    free = {BISECT: _free_bisects, SOLUTIONS: _free_solutions}
    busy = [name for part in wanted for name in free.get(part, _free)(app.cache / part)]
    if "all" in parts:
        busy += _free_ledger(app)
    for part, size in freed.items():
        app.ui.say(f"freed {part}: {_shown(size)}")
    if not wanted:
        sizes = {part: _size_of(app, part) for part in PARTS}
        app.ui.say(str(app.cache))
        for line in table([[part, _shown(size), PARTS[part]] for part, size in sizes.items()]):
            app.ui.say(line)
        app.ui.result({"folder": str(app.cache), "bytes": sizes})
        return Code.OK
    app.ui.result({"folder": str(app.cache), "freed": freed, "in_use": busy})
    if busy:
        raise PatchctlError(Code.ENVIRONMENT, f"in use, so not freed: {', '.join(busy)}")
    return Code.OK


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


def _size_of(app: App, part: str) -> int:
    return sum(map(_size, _solutions(app.cache / part))) if part == SOLUTIONS else _size(app.cache / part)


def _solutions(place: Path) -> list[Path]:
    """Return the folders in which stores keep how conflicts were solved; ``place`` would be the part's own."""
    return sorted((place.parent / "store").glob("*/rr-cache"))


def _free_solutions(place: Path) -> list[str]:
    """Forget how conflicts were solved; worktrees that are open go on with what they have in them."""
    from patchctl.files import remove_folder

    for folder in _solutions(place):
        for one in folder.iterdir():
            remove_folder(one)
    return []


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    total = 0
    for path in _files(folder):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _free(folder: Path) -> list[str]:
    """Remove everything in a folder but what another patchctl works on; return the names of that."""
    from patchctl.files import locked, remove_folder
    from patchctl.store import BORROWERS, borrowers

    busy = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix in {".lock", ".owner", BORROWERS}:
            continue
        if path.suffix == ".git" and (reading := borrowers(path)):
            busy.append(f"{path.name} (read by {', '.join(map(str, reading))}; end that with --abort)")
            continue
        try:
            with locked(path.with_suffix(".lock"), path.name):
                remove_folder(path) if path.is_dir() else path.unlink(missing_ok=True)
        except PatchctlError:
            busy.append(path.name)
    return busy


def _free_bisects(folder: Path) -> list[str]:
    """Remove what bisects keep, each whole: its tests run from ``out`` while a slot is held; return who still works."""
    bisects = sorted(folder.iterdir()) if folder.is_dir() else []
    return [f"{folder.name}/{one.name}" for one in bisects if not _free_bisect(one)]


def _free_bisect(folder: Path) -> bool:
    from patchctl.files import locked, remove_folder

    with contextlib.ExitStack() as held:
        try:
            for lock in sorted(folder.glob("slot*.lock")):
                held.enter_context(locked(lock, folder.name))
        except PatchctlError:
            return False
        for path in sorted(path for path in folder.iterdir() if path.is_dir()):
            remove_folder(path)
    return True


def _free_ledger(app: App) -> list[str]:
    """Remove the ledger and what SQLite keeps beside it, unless another patchctl uses it; return its name then."""
    import sqlite3

    app.ledger.close()
    path = app.cache / "ledger.sqlite"
    if not path.exists():
        return []
    held = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        # Exclusive in this mode is granted only where no other process has the file open, and ends the WAL.
        held.execute("PRAGMA locking_mode=EXCLUSIVE")
        held.execute("PRAGMA journal_mode=DELETE")
        held.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return [path.name]
    except sqlite3.DatabaseError:
        pass  # damaged: nobody can use it
    else:
        held.execute("ROLLBACK")
    finally:
        held.close()
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.with_suffix(".lock").unlink(missing_ok=True)
    return []


def _shown(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
