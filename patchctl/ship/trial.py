"""A package tried where it is to run, and what came of it brought home as evidence."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchctl.build import recipe
from patchctl.build.install import BUILD_INFO
from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, remove_folder, write_atomic
from patchctl.report import evidence
from patchctl.ship import archive
from patchctl.ship.facts import (
    PACKAGE,
    RESULT,
    SCHEMA_VERSION,
    PackageFacts,
    PackageName,
    ResultFacts,
    TestFacts,
    as_json,
    parse,
)
from patchctl.ship.package import command_line_settings
from patchctl.smoke.install import Install, read_install
from patchctl.smoke.plan import Case, is_for
from patchctl.smoke.result import proven, why_unproven
from patchctl.smoke.runner import definition_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from patchctl.manifest.workspace import StackFile
    from patchctl.series.source import Source
    from patchctl.smoke.hardware import Hardware
    from patchctl.smoke.result import Result


@dataclass(frozen=True)
class Package:
    """A package unpacked: its file and SHA-256, what its manifest says, the binaries, the tests it brought."""

    path: Path
    sha256: str
    facts: PackageFacts
    info: dict[str, Any]
    install: Install
    cases: tuple[Case, ...]


@contextmanager
def opened(path: Path, show: Callable[[int], None] = lambda _at: None) -> Iterator[Package]:
    """Unpack a package into a folder for a while and give it, verified; needs no workspace.

    Raises PatchctlError: exit code 2 when there is no such file, 3 when it is damaged or was changed, 9 when a newer
    patchctl made it or the disk refuses.
    """
    facts = parse(archive.read_manifest(path), path, PackageFacts, PACKAGE)
    sha256 = archive.sha256_of(path)
    listed = archive.read_sums(path.with_name(archive.SUMS)).get(path.name)
    if listed not in {None, sha256}:
        raise PatchctlError(Code.INVALID, f"{path} was changed: {archive.SUMS} beside it says otherwise; get it again")
    with disk_errors():
        folder = Path(tempfile.mkdtemp(prefix="patchctl-package-"))
    try:
        archive.unpack(path, folder, show=show)
        yield _package(path, sha256, facts, folder)
    finally:
        remove_folder(folder)


def _package(path: Path, sha256: str, facts: PackageFacts, folder: Path) -> Package:
    install = read_install(folder)
    info = json.loads((folder / BUILD_INFO).read_bytes())
    said = (install.release, install.variant, install.tree, install.build_key)
    if said != (facts.source.release, facts.variant, facts.source.tree, facts.build_key):
        raise PatchctlError(Code.INVALID, f"{path}: its manifest and its {BUILD_INFO} are of different builds")
    cases = tuple(Case(it.test, folder / it.here, it.patch) for it in facts.cases)
    return Package(path, sha256, facts, info, install, cases)


def result_path(package: Path) -> Path:
    """Return where the result of a package lies: beside it."""
    return package.with_name(f"{package.name}.result.json")


def write_result(package: Package, results: Sequence[Result], hardware: Hardware) -> Path:
    """Write how a package's tests ended and on what, beside the package, and return the file."""
    definitions = {case.test.name: definition_key(case) for case in package.cases}
    kept = ("targets", "architectures", "toolchain", "cmake", "build_key")
    facts = ResultFacts(
        schema_version=SCHEMA_VERSION,
        kind=RESULT,
        package=PackageName(name=package.path.name, sha256=package.sha256),
        variant=package.facts.variant,
        source=package.facts.source,
        build={name: package.info[name] for name in kept},
        hardware=json.loads(json.dumps(vars(hardware), default=vars)),
        date=dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        proven=proven(results),
        why=why_unproven(results),
        tests=[_outcome(it, definitions[it.test]) for it in results],
    )
    path = result_path(package.path)
    write_atomic(path, as_json(facts))
    return path


def _outcome(it: Result, definition: str) -> TestFacts:
    return TestFacts(
        test=it.test, definition=definition, patch=it.patch, result=it.result, detail=it.detail, seconds=it.seconds
    )


def read_result(path: Path) -> ResultFacts:
    """Return the result of a package; raises PatchctlError with exit code 2, 3 or 9 as ``opened`` does."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise PatchctlError(Code.USAGE, f"there is no file {path}") from error
    return parse(content, path, ResultFacts, RESULT)


@dataclass(frozen=True)
class Home:
    """Where a result is brought: the stack, the source it gives, its tests, the folder of its builds."""

    stack: StackFile
    source: Source
    cases: Sequence[Case]
    out: Path


def bring_home(home: Home, path: Path) -> tuple[ResultFacts, bool]:
    """Take the result at ``path`` into the evidence of a stack; return it and whether the evidence changed.

    Raises PatchctlError (exit code 3) when it is not of this stack's tree, of another build of the variant than the
    evidence or its own facts say, of other tests, or of another package than the one in ``out``.
    """
    result = read_result(path)
    why = _refusal(home, result)
    if why:
        raise PatchctlError(Code.INVALID, f"{path} is not taken: {why}")
    entry = {
        "hardware": result.hardware,
        "package": result.package.sha256,
        "date": result.date,
        "tests": [it.model_dump(exclude={"seconds"}) for it in result.tests],
    }
    return result, evidence.bring(home.stack.path, home.source, result.variant, result.build, entry)


def _refusal(home: Home, result: ResultFacts) -> str:
    theirs, ours = result.source, home.source
    if (theirs.release, theirs.base, theirs.tree) != (ours.release, ours.base, ours.tree):
        return f"it is of {theirs.release} {theirs.source().identity}; the stack is {ours.release} {ours.identity}"
    listed = archive.read_sums(home.out / archive.SUMS).get(result.package.name)
    if listed not in {None, result.package.sha256}:
        return f"it is of another {result.package.name} than the one in {home.out.name}/"
    return _other_build(home.stack, ours, result) or _other_tests(home.cases, result)


def _other_build(stack: StackFile, source: Source, result: ResultFacts) -> str:
    """Return in which way the build that was tried is not the stack's."""
    build, said = stack.stack.build, result.build
    known = result.variant in build.variants
    try:
        settings = recipe.configuration(build, result.variant) if known else command_line_settings(said)
        key = recipe.build_key(source, settings, said["toolchain"], build.targets, build.files)
        same = key == said["build_key"]
    except (KeyError, TypeError, AttributeError):
        same = False
    if not same:
        return f"its build key is not that of {result.variant} with this stack's settings, targets and files"
    claim = evidence.read_evidence(stack.path)
    if claim.get("result", {}).get("tree") != source.tree:
        return ""
    ours = claim.get("variants", {}).get(result.variant)
    if ours is not None and ours["build_key"] != said["build_key"] and ours["tests"]:
        return f"the evidence is about another build of {result.variant} (key {ours['build_key'][:9]})"
    return ""


def _other_tests(cases: Sequence[Case], result: ResultFacts) -> str:
    """Return which tests of the stack the result lacks, or has otherwise: passing some of them proves nothing."""
    found = {it.test: it.definition for it in result.tests}
    wanted = [case for case in cases if is_for(case.test, result.variant, result.build.get("architectures") or ())]
    lacking = [case.test.name for case in wanted if found.get(case.test.name) != definition_key(case)]
    return f"it lacks these tests as they are now: {', '.join(lacking)}" if lacking else ""
