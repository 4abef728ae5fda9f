"""Parts of a stack, built to be compared: the base without any patch, or some patches and what they require."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.cli.build import Options, Run, build_all, label_of, wanted_variants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.cli.build import Done
    from patchctl.cli.common import App
    from patchctl.manifest.workspace import StackFile


def build_part(
    app: App, stack: StackFile, name: str, variants: Sequence[str], *, only: Sequence[str] = (), base: bool = False
) -> Done:
    """Build as ``run_part`` does and return what became of each variant."""
    return run_part(app, stack, name, variants, only=only, base=base).done


def run_part(
    app: App,
    stack: StackFile,
    name: str,
    variants: Sequence[str],
    *,
    only: Sequence[str] = (),
    base: bool = False,
    sandbox: bool = False,
) -> Run:
    """Build the ``base`` without any patch, or ``only`` these patches and what they require; nothing is tested.

    Raises PatchctlError when a patch does not apply (exit code 4), or nothing can be built here or no sandbox be had
    where one was wanted (9).
    """
    options = _options(variants, only, tuple(stack.stack.patches) if base else (), sandbox=sandbox)
    store, _, resolved = app.resolve(stack, only=options.only, without=options.without)
    resolved.require_success(name)
    label = f"{stack.stack.release}-base" if base else label_of(stack.stack.release, options)
    run = Run(app, stack, resolved.source(store, stack.stack.upstream.repo, label), options, store=store)
    build_all(run, wanted_variants(stack, options))
    return run


def label_of_part(release: str, only: Sequence[str], without: Sequence[str]) -> str:
    """Return the name under which ``patchctl build`` installs these patches of a release."""
    return label_of(release, _options((), only, without))


def _options(variants: Sequence[str], only: Sequence[str], without: Sequence[str], *, sandbox: bool = False) -> Options:
    return Options(
        variants=tuple(variants),
        targets=(),
        cmake=(),
        only=tuple(only),
        without=tuple(without),
        jobs=None,
        keep_going=False,
        locked=False,
        strict=False,
        sandbox=sandbox,
    )
