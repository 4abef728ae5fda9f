"""Binaries that run wherever they are unpacked: what was installed, licences, tests, notes, checksums."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchctl.build import recipe
from patchctl.build.elf import MAGIC
from patchctl.build.install import BUILD_INFO, changed_file
from patchctl.errors import Code, PatchctlError
from patchctl.files import write_atomic
from patchctl.manifest.lockfile import lock_path
from patchctl.report.evidence import held_against, read_evidence
from patchctl.ship import archive, contents, runpath
from patchctl.ship.archive import Member, Written
from patchctl.ship.facts import PACKAGE, SCHEMA_VERSION, CaseFacts, PackageFacts, SourceFacts, as_json
from patchctl.ship.notes import release_notes
from patchctl.ship.variants import unknown_variant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from patchctl.manifest.workspace import StackFile, Workspace
    from patchctl.series.source import Source
    from patchctl.smoke.plan import Case

OURS = "patchctl"
NOTES = "RELEASE-NOTES.md"


@dataclass(frozen=True)
class Parts:
    """What a package is made of: a stack, its source, what was installed of one variant, licences, tests."""

    workspace: Workspace
    stack: StackFile
    source: Source
    variant: str
    install: Path
    date: int
    licences: Sequence[tuple[str, bytes]]
    cases: Sequence[Case]

    @property
    def name(self) -> str:
        """Return the name of the package and of its top folder."""
        return f"{self.source.release}-{self.variant}"


@dataclass(frozen=True)
class Made:
    """A package as written, its notes beside it, what it needs from the system, whether what is in it is proven."""

    written: Written
    notes: Path
    needs: tuple[str, ...]
    shortened: tuple[str, ...]
    proven: bool
    why: str


def make_package(path: Path, parts: Parts, show: Callable[[int, int], None] = lambda _at, _of: None) -> Made:
    """Write a package to ``path``, its release notes and its line of SHA256SUMS beside it.

    Raises PatchctlError: exit code 9 when the variant is not built, or is a part or of another state of the stack; 5
    when a binary's run path leads out of the package; 3 when two files would have one name.
    """
    info = fresh_info(parts.stack, parts.source, parts.variant, parts.install)
    binaries = _Binaries(parts.install)
    installed = [binaries.member(str(file["path"])) for file in info["files"]]
    here = {it.name for it in installed}
    claim = _claim(parts, info)
    facts = PackageFacts(
        schema_version=SCHEMA_VERSION,
        kind=PACKAGE,
        variant=parts.variant,
        source=SourceFacts.of(parts.source),
        date=parts.date,
        build_key=info["build_key"],
        architectures=info["architectures"],
        licences=[name for name, _ in parts.licences],
        needs=binaries.needs(),
        run_paths_shortened=sorted(binaries.shortened),
        evidence=claim,
        cases=[_case(case) for case in parts.cases],
    )
    notes = release_notes(parts.workspace, facts, info)
    members = [
        *installed,
        contents.member(parts.install / BUILD_INFO, BUILD_INFO),
        Member(NOTES, lambda: notes),
        *(Member(name, functools.partial(bytes, text)) for name, text in parts.licences if name not in here),
        *_own_files(parts),
    ]
    written = archive.write_archive(path, parts.name, as_json(facts), members, date=parts.date, show=show)
    beside = path.with_name(f"{parts.name}.md")
    write_atomic(beside, notes)
    archive.update_sums(path.with_name(archive.SUMS), written)
    proven, why = (claim["proven"], claim["why"]) if claim else (False, "it was never tested")
    return Made(written, beside, tuple(facts.needs), tuple(facts.run_paths_shortened), proven, why)


def fresh_info(stack: StackFile, source: Source, variant: str, install: Path) -> dict[str, Any]:
    """Return what ``build-info.json`` says when the install is whole and of the stack as it is now.

    A variant that the stack does not have is one that was given on the command line: its settings are taken from what
    was built. Raises PatchctlError (exit code 9) saying what differs, 2 when there is no such variant.
    """
    again = f"build it again: patchctl build STACK --variant {variant}"
    try:
        info = json.loads((install / BUILD_INFO).read_bytes())
        why = _why_stale(stack, source, variant, info) or _missing(install, info)
    except FileNotFoundError:
        if variant not in stack.stack.build.variants:
            raise unknown_variant(stack, variant) from None
        why = "is not built"
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"cannot be read ({error})"
    if why:
        raise PatchctlError(Code.ENVIRONMENT, f"{source.release}/{variant} {why}; {again}")
    found: dict[str, Any] = info
    return found


def _why_stale(stack: StackFile, source: Source, variant: str, info: dict[str, Any]) -> str:
    build = stack.stack.build
    if (info["release"], info["variant"]) != (source.release, variant):
        return f"is a build of {info['release']}/{info['variant']}"
    if info["tree"] != source.tree or info["base"] != source.base:
        return f"is a build of {info['identity']}; the stack is at {source.identity}"
    if sorted(info["targets"]) != sorted(set(build.targets)):
        return f"is a part build, with {', '.join(info['targets'])} only"
    known = variant in build.variants
    settings = recipe.configuration(build, variant) if known else command_line_settings(info)
    key = recipe.build_key(source, settings, info["toolchain"], build.targets, build.files)
    return "" if key == info["build_key"] else "was built with other settings"


def command_line_settings(info: dict[str, Any]) -> dict[str, str]:
    """Return the canonical settings that a build was made with."""
    return {name: str(value) for name, value in info["cmake"].items() if name not in recipe.IDENTITY}


def _missing(install: Path, info: dict[str, Any]) -> str:
    changed = changed_file(install, info["files"])
    return f"lacks {changed}, or it was changed" if changed else ""


def _claim(parts: Parts, info: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the evidence says of this very build, or None."""
    evidence = read_evidence(parts.stack.path)
    claim: dict[str, Any] | None = evidence.get("variants", {}).get(parts.variant)
    if claim is None or claim["build_key"] != info["build_key"]:
        return None
    return held_against(claim, parts.variant, parts.cases)


class _Binaries:
    """Reads the files of an install, shortening run paths, and notes what they need."""

    def __init__(self, install: Path) -> None:
        self.install = install
        self.shortened: list[str] = []
        self._asked: set[str] = set()
        self._names: set[str] = set()

    def member(self, name: str) -> Member:
        path = self.install / name
        if Path(name).parts[0] in {"bin", "lib"}:
            self._names.add(path.name)
        if path.is_symlink():
            return Member(name, link=os.fsdecode(path.readlink()))
        with path.open("rb") as file:
            is_elf = file.read(len(MAGIC)) == MAGIC
        if not is_elf:
            return contents.member(path, name)
        content = path.read_bytes()
        self._asked.update(runpath.needed(content, name))
        if runpath.shorten(content, name) is not content:
            self.shortened.append(name)
        mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
        return Member(name, lambda: runpath.shorten(path.read_bytes(), name), mode)

    def needs(self) -> list[str]:
        return sorted(self._asked - self._names)


def _case(case: Case) -> CaseFacts:
    return CaseFacts(test=case.test, here=f"{OURS}/{contents.case_folder(case)}", patch=case.patch)


def _own_files(parts: Parts) -> list[Member]:
    """Return stack, lock, pages and what the tests name, below ``patchctl/``."""
    found = {
        f"{OURS}/stacks/{parts.stack.path.name}": parts.stack.path,
        f"{OURS}/stacks/{lock_path(parts.stack.path).name}": lock_path(parts.stack.path),
    }
    for patch in parts.source.patches:
        found[f"{OURS}/patches/{patch.id}/README.md"] = parts.workspace.patches_folder / patch.id / "README.md"
    for case in parts.cases:
        top = f"{OURS}/{contents.case_folder(case)}"
        found.update({f"{top}/{file.relative_to(case.here).as_posix()}": file for file in contents.case_files(case)})
    return [contents.member(file, name) for name, file in sorted(found.items())]
