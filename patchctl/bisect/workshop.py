"""Builds points: one slot for each point at a time, in which the next point is an incremental build beside the last."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.bisect.product import fingerprint
from patchctl.build.toolchain import find_toolchain
from patchctl.build.variant import Built, Job, build_variant, find_built
from patchctl.errors import Code, PatchctlError
from patchctl.files import locked, remove_folder
from patchctl.ledger import digest
from patchctl.series.checkout import materialise
from patchctl.series.source import Source
from patchctl.smoke.install import read_install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from patchctl.build.progress import Progress
    from patchctl.ledger import Ledger
    from patchctl.manifest.model import Build
    from patchctl.smoke.install import Install
    from patchctl.store import Store

ROOM = 2**25  # bytes; with less left on the disk, neither a build nor its failure is believed
KEPT = 24  # installs that stay when a bisect ends: looked at again, they need no build


@dataclass(frozen=True)
class Plan:
    """How every point is built: the build section of the bad stack, one variant, targets; ``slots`` at once."""

    build: Build
    variant: str
    targets: tuple[str, ...] = ()
    slots: int = 1


@dataclass(frozen=True)
class Made:
    """A point's install, the seconds that making it took (0 when it was there), and what its product is."""

    install: Install
    seconds: float
    product: str


class Workshop:
    """Builds points in ``root``, a folder of the cache."""

    def __init__(self, root: Path, plan: Plan, store: Store, ledger: Ledger) -> None:
        self.root = root
        self.plan = plan
        self.store = store
        self.ledger = ledger
        self.toolchain = find_toolchain(ledger)

    def require(self) -> None:
        """Raise PatchctlError (exit code 9) when this machine cannot build the variant."""
        from patchctl.build.cuda import require

        job = self._job(_NOWHERE, 0)
        require(job.variant, job.settings, self.toolchain)

    @property
    def key(self) -> str:
        """Return all that the binaries depend on besides the tree."""
        job = self._job(_NOWHERE, 0)
        return digest("bisect-plan", 1, job.settings, job.identity, sorted(job.wanted), sorted(job.build.files))

    def _job(self, source: Source, slot: int) -> Job:
        each = max((os.cpu_count() or 1) // self.plan.slots, 1) if self.plan.slots > 1 else None
        return Job(
            source=source,
            build=self.plan.build,
            variant=self.plan.variant,
            slot=self.root / f"slot{slot}",
            out=self.root / "out",
            logs=self.root / "logs" / source.release,
            toolchain=self.toolchain,
            targets=self.plan.targets,
            jobs=each,
        )

    @contextlib.contextmanager
    def made(self, source: Source, watch: Callable[[Progress], None]) -> Iterator[Made]:
        """Give a point's install, built now unless it is there; a slot is held as long as it is used.

        Raises PatchctlError: exit code 5 when it does not build, 9 when the machine is to blame.
        """
        with self._slot() as slot:
            start = time.monotonic()
            built = find_built(self._job(source, slot), self.ledger)
            product = self.product(built.key) if built is not None else None
            if built is None or product is None:
                built, product = self._make(source, slot, watch)
            seconds = time.monotonic() - start if built.fresh else 0.0
            yield Made(read_install(built.path), seconds, product)

    def _make(self, source: Source, slot: int, watch: Callable[[Progress], None]) -> tuple[Built, str]:
        job = self._job(source, slot)
        left_out = materialise(self.store, source.tree, job.src).left_out
        needed = sorted(set(left_out) & set(source.touched))
        if needed:
            raise PatchctlError(Code.ENVIRONMENT, f"no copy of upstream has {', '.join(needed)}")
        # Built, but nobody noted what: that is seen in a build folder only.
        remove_folder(job.target)
        try:
            built = build_variant(job, self.ledger, watch)
        except PatchctlError:
            _require_room(job)
            raise
        _require_room(job)
        product = _fingerprint(job, built)
        self.ledger.put("bisect-product", built.key, product)
        return built, product

    def product(self, build_key: str) -> str | None:
        """Return what a build made, when that was noted."""
        kept: str | None = self.ledger.get("bisect-product", build_key)
        return kept

    def product_of(self, source: Source) -> str | None:
        """Return what the build of a source made, when that was noted."""
        return self.product(self._job(source, 0).key)

    @contextlib.contextmanager
    def _slot(self) -> Iterator[int]:
        """Hold the first slot that nobody works in; when all are taken, wait for the first."""
        with contextlib.ExitStack() as held:
            free = next((number for number in range(self.plan.slots) if self._take(held, number)), None)
            yield self._wait(held) if free is None else free

    def _take(self, held: contextlib.ExitStack, number: int) -> bool:
        try:
            held.enter_context(locked(self._lock(number), f"slot {number} of the bisect"))
        except PatchctlError:
            return False
        return True

    def _wait(self, held: contextlib.ExitStack) -> int:
        held.enter_context(locked(self._lock(0), "slot 0 of the bisect", wait=3600))
        return 0

    def _lock(self, number: int) -> Path:
        return self.root / f"slot{number}.lock"

    def tidy(self) -> None:
        """Remove the oldest installs beyond those that are kept."""
        tidy(self.root / "out")


def tidy(out: Path) -> None:
    """Remove the oldest folders in ``out`` beyond those that are kept."""
    if not out.is_dir():
        return
    found = sorted((path for path in out.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in found[:-KEPT]:
        remove_folder(path)


def _fingerprint(job: Job, built: Built) -> str:
    """Return what a build made; raises PatchctlError (exit code 9) for a build folder that cannot be read."""
    try:
        return fingerprint(job.folder, job.src, job.source.identity, built.info["files"])
    except (OSError, ValueError) as error:
        # CMake ends well where a full disk kept it from writing; the folder is made anew.
        remove_folder(job.folder)
        why = f"the build folder of {job.source.release} was damaged ({error}) and is removed"
        hint = "is the disk full? Go on with: patchctl bisect --continue"
        raise PatchctlError(Code.ENVIRONMENT, f"{why}; {hint}") from error


def _require_room(job: Job) -> None:
    """Raise PatchctlError (exit code 9) when the disk is full: CMake then names any other cause, or ends well.

    What it leaves in the build folder are halves of files, which it would believe the next time.
    """
    for place in (job.slot, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(place).free
        if free < ROOM:
            remove_folder(job.folder)
            why = f"the disk is full: {free // 2**20} MiB are left at {place}, too little to believe a build"
            raise PatchctlError(Code.ENVIRONMENT, f"{why}; free some space and go on with: patchctl bisect --continue")


_NOWHERE = Source("", "0" * 40, 0, "0" * 40, "0" * 40, "none", (), ())
