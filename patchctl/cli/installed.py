"""What is installed, held against the stack as it is now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patchctl.errors import Code, InvalidError, PatchctlError

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.cli.common import App
    from patchctl.manifest.workspace import StackFile
    from patchctl.series.source import Source
    from patchctl.smoke.install import Install


@dataclass(frozen=True)
class Part:
    """What of a stack is meant: ``only`` these patches and what they require, or all ``without`` some."""

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Return whether it is the release itself."""
        return not self.only and not self.without

    def named(self, stack: str) -> str:
        """Return what to type for it after a command: ``demo --without ID``."""
        words = [f"--only {it}" for it in self.only] + [f"--without {it}" for it in self.without]
        return " ".join([stack, *words])

    def label(self, release: str) -> str:
        """Return what its builds are called: the folder below ``out``."""
        from patchctl.cli.part import label_of_part

        return label_of_part(release, self.only, self.without)


WHOLE = Part()


def require_one_of_release(app: App, stack: StackFile) -> None:
    """Raise InvalidError when another stack of the workspace has the same release: both would go to one folder."""
    for path in app.workspace.stack_files():
        if not path.samefile(stack.path) and _release(path) == stack.stack.release:
            both = (
                f"{app.workspace.shown(path)} has the release {stack.stack.release} too; give one of them another name"
            )
            raise InvalidError([stack.document.problem(("release",), both)])


def _release(path: Path) -> object:
    """Return the release that a stack names; a stack that is broken names none."""
    from patchctl.document import load

    try:
        data = load(path).data
    except PatchctlError:
        return None
    return data.get("release") if isinstance(data, dict) else None


def source_now(app: App, stack: StackFile, name: str, part: Part = WHOLE) -> Source:
    """Return what the stack, or a part of it, gives as it is now; raises PatchctlError when a patch does not apply."""
    store, _, resolved = app.resolve(stack, only=part.only, without=part.without)
    resolved.require_success(name)
    return resolved.source(store, stack.stack.upstream.repo, part.label(stack.stack.release))


def why_other(app: App, install: Install, source: Source, name: str) -> str:
    """Return in one line why an install is not of ``source`` and what to type, empty when it is."""
    if (install.tree, install.base) == (source.tree, source.base):
        return ""
    what = "base" if install.tree == source.tree else "tree"
    where = app.workspace.shown(install.folder)
    return f"{where} was built from another {what}; {how_to_build(name, install.variant)}"


def how_to_build(name: str, variant: str) -> str:
    """Return what to type."""
    return f"build it: patchctl build {name} --variant {variant}"


def require_current(app: App, install: Install, source: Source, name: str) -> None:
    """Raise PatchctlError (exit code 9) unless an install is of ``source`` and each of its files is as it was built."""
    from patchctl.build.install import changed_file

    why = why_other(app, install, source, name)
    if why:
        raise PatchctlError(Code.ENVIRONMENT, why)
    where, again = app.workspace.shown(install.folder), how_to_build(name, install.variant)
    try:
        changed = changed_file(install.folder, facts(install)["files"])
    except (KeyError, TypeError) as error:
        why = f"{where} was built by a patchctl that noted less of its files"
        raise PatchctlError(Code.ENVIRONMENT, f"{why}; {again}") from error
    if changed is not None:
        raise PatchctlError(Code.ENVIRONMENT, f"{changed} in {where} is not as it was built; {again}")


def facts(install: Install) -> dict[str, Any]:
    """Return all that ``build-info.json`` says."""
    from patchctl.smoke.install import INFO

    found: dict[str, Any] = json.loads((install.folder / INFO).read_bytes())
    return found


def is_release(stack: StackFile, install: Install, source: Source) -> bool:
    """Return whether an install was built as the stack says now: its targets, files and settings."""
    from patchctl.build import recipe

    build = stack.stack.build
    settings = recipe.configuration(build, install.variant)
    key = recipe.build_key(source, settings, facts(install)["toolchain"], build.targets, build.files)
    return key == install.build_key
