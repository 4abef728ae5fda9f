"""Which tests a stack has: its own, the general ones it names, the probes of its patches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.document import load, shown
from patchctl.errors import InvalidError, Problem, closest
from patchctl.manifest.model import ProbeFile, Test
from patchctl.manifest.validate import validate
from patchctl.smoke.install import server_of
from patchctl.smoke.kinds import invalid
from patchctl.smoke.placeholders import NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.document import Document, Loc
    from patchctl.manifest.workspace import StackFile, Workspace

GENERAL = Path(__file__).with_name("tests")
PROBE = "probe.yaml"


@dataclass(frozen=True)
class Case:
    """One test to run; ``here`` is the folder of the file that defines it, ``patch`` the patch whose probe it is."""

    test: Test
    here: Path
    patch: str | None = None


def is_for(test: Test, variant: str, architectures: Sequence[str]) -> bool:
    """Return whether a test is for a variant: one that it names, with code for a GPU when it is about one."""
    return (test.variants is None or variant in test.variants) and (not test.gpu or bool(architectures))


def general_names() -> list[str]:
    """Return the names of the tests that come with patchctl, sorted."""
    return sorted(path.stem for path in GENERAL.glob("*.yaml"))


def general_test(name: str) -> Test:
    """Return a test that comes with patchctl; raises FileNotFoundError when there is none of that name."""
    path = GENERAL / f"{name}.yaml"
    if not path.is_file():
        raise FileNotFoundError(path)
    return validate(load(path, name=path.name), Test)


def load_probe(workspace: Workspace, patch_id: str) -> Case | None:
    """Return the probe of a patch, or None when it has none; raises InvalidError with every problem in its file."""
    found = _load_probe(workspace, patch_id)
    return found[0] if found else None


def _load_probe(workspace: Workspace, patch_id: str) -> tuple[Case, Document] | None:
    path = workspace.patches_folder / patch_id / PROBE
    if not path.is_file():
        return None
    document = load(path, name=shown(path))
    probe = validate(document, ProbeFile)
    return Case(probe.test(patch_id), path.parent, patch_id), document


def stack_cases(workspace: Workspace, stack: StackFile, patches: Sequence[str] | None = None) -> list[Case]:
    """Return the tests of a stack in its order, then the probes of its patches (of ``patches`` only, when given).

    Raises InvalidError with every problem found: an unknown test, a broken probe, a placeholder that stands for
    nothing, a broken regular expression, two tests of one name.
    """
    values = _stand_ins(stack)
    problems: list[Problem] = []
    cases = []
    for at, entry in enumerate(stack.stack.tests):
        try:
            test, here = _test(entry, stack)
        except FileNotFoundError:
            name = entry if isinstance(entry, str) else entry.name
            near = closest(name, general_names()) or f"; there are: {', '.join(general_names())}"
            problems.append(stack.document.problem(("tests", at), f'there is no test "{name}"{near}'))
            continue
        cases.append(Case(test, here))
        problems += _invalid(test, values, stack.document, ("tests", at))
    for patch_id in stack.stack.patches if patches is None else patches:
        try:
            probe = _load_probe(workspace, patch_id)
        except InvalidError as error:
            problems += error.problems
            continue
        if probe is not None:
            cases.append(probe[0])
            problems += _invalid(probe[0].test, values, probe[1])
    problems += _twice(stack, cases)
    if problems:
        raise InvalidError(problems)
    return cases


def _test(entry: str | Test, stack: StackFile) -> tuple[Test, Path]:
    """Return a test of a stack, and the folder of the file that defines it; raises FileNotFoundError."""
    if isinstance(entry, str):
        return general_test(entry), GENERAL
    if entry.general:
        return general_test(entry.name).model_copy(update={"expect": entry.expect, "reason": entry.reason}), GENERAL
    return entry, stack.path.parent


def _stand_ins(stack: StackFile) -> dict[str, str]:
    """Return the placeholders that will stand for something in builds of this stack, with values to judge by."""
    names = {*NAMES} - {"port", "models"} - ({"server"} if server_of(stack.stack.build.targets) is None else set())
    return {name: name for name in NAMES if name in names}


def _invalid(test: Test, values: dict[str, str], document: Document, at: Loc = ()) -> list[Problem]:
    found = {(document.mark((*at, *loc)), problem): (*at, *loc) for loc, problem in invalid(test, values)}
    return [document.problem(loc, f"test {test.name}: {problem}") for (_, problem), loc in found.items()]


def _twice(stack: StackFile, cases: Sequence[Case]) -> list[Problem]:
    names = [case.test.name for case in cases]
    again = sorted({name for name in names if names.count(name) > 1})
    return [stack.document.problem(("tests",), f'two tests are called "{name}"') for name in again]
