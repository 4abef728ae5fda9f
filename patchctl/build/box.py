"""The sandbox of a build, with a compiler cache that no other patches can have written to.

What runs in a sandbox can put any object into the compiler cache it writes to, under any key. A person's own cache is
therefore not there, and the sandbox's is one for each set of patches: whoever could have poisoned it is in the build
anyway. Bases that nobody locked, as a forecast tries them, read it and write nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.files import disk_errors
from patchctl.ledger import digest
from patchctl.sandbox import TEMPORARY, require_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from patchctl.sandbox import Sandbox
    from patchctl.series.source import AppliedPatch

FOLDER = "ccache"


def patch_set(patches: Iterable[AppliedPatch]) -> str:
    """Return what stands for these very patches in this order, on whatever base."""
    return digest("patches", [(patch.id, patch.sha256) for patch in patches])[:12]


def build_box(cache: Path, patches: Iterable[AppliedPatch], *, locked_base: bool = True) -> Sandbox:
    """Return a sandbox with the compiler cache of these patches; read only unless the base is a ``locked_base``.

    Raises PatchctlError (exit code 9) where this machine cannot make a sandbox.
    """
    box = require_sandbox()
    folder = cache / FOLDER / patch_set(patches)
    with disk_errors():
        folder.mkdir(parents=True, exist_ok=True)
    if locked_base:
        return box.also(writable=[folder], variables={"CCACHE_DIR": str(folder)})
    still = {"CCACHE_READONLY": "1", "CCACHE_NOSTATS": "1", "CCACHE_TEMPDIR": f"{TEMPORARY}/ccache"}
    return box.also(readable=[folder], variables={"CCACHE_DIR": str(folder), **still})
