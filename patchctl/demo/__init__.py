"""The demo upstream: a small C++ project with a real history, shipped as text, made into a repository on first use."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from patchctl.files import disk_errors
from patchctl.git import run_git

URL = "patchctl:demo"
HISTORY = Path(__file__).with_name("history.fi")


def create(folder: Path) -> None:
    """Make ``folder`` a bare repository with the demo's history; the commit ids are the same on every machine.

    Does nothing when it is there. A kill leaves no half of one; of two at once, one wins and both have it.
    Raises PatchctlError (exit code 9) without git or without room on the disk.
    """
    if folder.exists():
        return
    with disk_errors():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
    try:
        # --template= : no sample hooks of this machine's git; history alone decides what is in it.
        run_git("init", "--quiet", "--bare", "--template=", str(made))
        run_git("fast-import", "--quiet", git_dir=made, stdin=HISTORY.read_bytes())
        made.chmod(0o755)
        _hand_in(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _hand_in(made: Path, folder: Path) -> None:
    with disk_errors():
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():
                raise
