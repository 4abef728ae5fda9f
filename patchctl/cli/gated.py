"""Does what applies also compile, on commits of upstream that nobody chose: the compile gate, in a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patchctl.errors import Code, PatchctlError
from patchctl.ledger import digest
from patchctl.upstream.breaks import Tried

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.build.toolchain import Toolchain
    from patchctl.build.variant import Job
    from patchctl.cli.common import App
    from patchctl.manifest.workspace import StackFile
    from patchctl.sandbox import Sandbox
    from patchctl.series.patch import Patch
    from patchctl.series.sequence import Series
    from patchctl.series.source import Source
    from patchctl.upstream.line import Landed

RECIPE = 1  # raise it when the same tree would be judged differently


class Gate:
    """Asks for one stack and variant whether some of its patches compile on a commit; what was asked is remembered."""

    def __init__(self, app: App, stack: StackFile, series: Series, variant: str | None, *, boxed: bool) -> None:
        from patchctl.build.toolchain import find_toolchain

        self.app = app
        self.stack = stack
        self.series = series
        self.store = series.store
        self.boxed = boxed
        self.toolchain: Toolchain = find_toolchain(app.ledger)
        self.variant = variant or self._first()
        if boxed:
            from patchctl.manifest.trust import require_committed
            from patchctl.sandbox import require_sandbox

            require_committed(stack.path, [(patch.id, patch.sha256) for patch in series.stack])
            require_sandbox()

    def _first(self) -> str:
        """Return the first variant that this machine can build."""
        from patchctl.build import recipe
        from patchctl.build.cuda import unavailable

        build = self.stack.stack.build
        for name in build.variants:
            if unavailable(name, recipe.configuration(build, name), self.toolchain) is None:
                return name
        raise PatchctlError(Code.ENVIRONMENT, "no variant can be built here; patchctl doctor says more")

    def __call__(self, landed: Landed, ids: tuple[str, ...]) -> Tried:
        """Return whether the patches ``ids`` compile on a commit; None when upstream's own files do not either."""
        patches = [patch for patch in self.series.stack if patch.id in ids]
        failed = self._try(landed, patches)
        if failed is None:
            return Tried(compiles=True)
        touched = [path for patch in patches for path in patch.revision.paths]
        own = self._try(landed, [], touched)
        return Tried(compiles=False, detail=failed) if own is None else Tried(None, own)

    def _try(self, landed: Landed, patches: Sequence[Patch], touched: Sequence[str] = ()) -> str | None:
        """Return the first error, None when it compiles."""
        source = self._source(landed, patches, touched)
        job = self._job(source)
        key = digest("gate", RECIPE, source.tree, source.touched, job.settings, job.identity, job.wanted)
        kept = self.app.ledger.get("gate", key)
        if kept is None:
            kept = {"error": self._compile(job)}
            self.app.ledger.put("gate", key, kept)
        error: str | None = kept["error"]
        return error

    def _source(self, landed: Landed, patches: Sequence[Patch], touched: Sequence[str]) -> Source:
        from dataclasses import replace

        from patchctl.series.resolve import Resolved

        steps = self.series.sequence(landed.oid, patches)
        resolved = Resolved(landed.oid, landed.build, tuple(patches), tuple(steps))
        source = resolved.source(self.store, self.stack.stack.upstream.repo, self.stack.stack.release)
        return replace(source, touched=tuple(sorted({*source.touched, *touched})))

    def _job(self, source: Source) -> Job:
        from patchctl.build.box import build_box, patch_set
        from patchctl.build.variant import Job

        stack = self.stack.stack
        if self.variant not in stack.build.variants:
            from patchctl.ship.variants import unknown_variant

            raise unknown_variant(self.stack, self.variant)
        # What patches nobody watches leave in a build folder must reach no release.
        root, unboxed = str(self.app.workspace.root), "" if self.boxed else "unboxed"
        slot = self.app.cache / "forecast" / digest(root, stack.release, patch_set(source.patches), unboxed)[:12]
        box: Sandbox | None = build_box(self.app.cache, source.patches, locked_base=False) if self.boxed else None
        logs: Path = self.app.cache / "logs" / source.release / source.tree[:12]
        words: dict[str, Any] = {"source": source, "build": stack.build, "variant": self.variant, "sandbox": box}
        return Job(**words, slot=slot, out=slot / "out", logs=logs, toolchain=self.toolchain)

    def _compile(self, job: Job) -> str | None:
        from patchctl.build.variant import pass_gate
        from patchctl.files import locked
        from patchctl.series.checkout import materialise

        with locked(job.slot.with_suffix(".lock"), f"the forecast of {job.source.release}"):
            materialise(self.store, job.source.tree, job.src, lambda _at, _of: None)
            try:
                pass_gate(job)
            except PatchctlError as error:
                if error.exit_code != Code.BUILD:
                    raise
                return error.message
        return None
