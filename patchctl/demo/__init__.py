"""The demo upstream: a small C++ project with a real history, shipped as text, made into a repository on first use."""

from __future__ import annotations

from pathlib import Path

from patchctl.files import disk_errors, folder_beside, remove_folder
from patchctl.git import run_git

URL = "patchctl:demo"
HISTORY = Path(__file__).with_name("history.fi")


def create(folder: Path) -> None:
    """Make ``folder`` a bare repository with the demo's history; the commit ids are the same on every machine.

    Does nothing when it is there. A kill leaves no half of one; of two at once, one wins and both have it.
    Raises PatchctlError (exit code 9) without git or without room on the disk.
    """
    if any(folder.glob("objects/*/*")):
        return
    remove_folder(folder)  # what somebody cleaned up is no repository
    with disk_errors(), folder_beside(folder) as made:
        # --template= : no sample hooks of this machine's git; history alone decides what is in it.
        run_git("init", "--quiet", "--bare", "--template=", str(made))
        run_git("fast-import", "--quiet", git_dir=made, stdin=HISTORY.read_bytes())
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():
                raise
