"""Which variants of which stacks a CI system has to build, and on which of its machines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.build.recipe import configuration, needs_cuda
from patchctl.manifest.lockfile import read_lock
from patchctl.report.evidence import held_against, read_evidence
from patchctl.smoke.plan import stack_cases

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from patchctl.manifest.workspace import StackFile, Workspace

HOSTED = "ubuntu-24.04"
OWN = ("self-hosted", "linux")
ARCHITECTURE = re.compile(r"\d+[af]?")


@dataclass(frozen=True)
class Cell:
    """One build: the stack's file, its variant, the labels of the machine, or why nothing is built."""

    stack: str
    variant: str
    runner: tuple[str, ...] = ()
    skipped: str = ""


def label(variant: str, settings: Mapping[str, str]) -> str:
    """Return the label of a machine for a variant: ``sm_120`` of its first architecture, else the variant's name."""
    found = ARCHITECTURE.search(settings.get("CMAKE_CUDA_ARCHITECTURES", ""))
    return f"sm_{found[0].rstrip('af')}" if found else variant


def cells(
    workspace: Workspace, stack: StackFile, shown: str, labels: Collection[str], *, everything: bool = False
) -> list[Cell]:
    """Return a cell for each variant of a stack; GPU code goes to a machine of one's own, if ``labels`` has it.

    What the committed evidence says is proven, of the very tree in the lock and by the tests that the stack has now, is
    skipped unless ``everything``. Raises InvalidError for a broken test.
    """
    done = set() if everything else _proven(workspace, stack)
    return [_cell(stack, shown, variant, labels, done) for variant in stack.stack.build.variants]


def _cell(stack: StackFile, shown: str, variant: str, labels: Collection[str], done: Collection[str]) -> Cell:
    if variant in done:
        return Cell(shown, variant, skipped="proven: its evidence is of the tree in the lock")
    settings = configuration(stack.stack.build, variant)
    if not needs_cuda(settings):
        return Cell(shown, variant, (HOSTED,))
    wanted = label(variant, settings)
    if wanted not in labels:
        return Cell(shown, variant, skipped=f"no machine is labelled {wanted}")
    return Cell(shown, variant, (*OWN, wanted))


def _proven(workspace: Workspace, stack: StackFile) -> set[str]:
    lock, evidence = read_lock(stack.path), read_evidence(stack.path)
    if lock is None or evidence.get("result") != {"commit": lock.result.commit, "tree": lock.result.tree}:
        return set()
    cases = stack_cases(workspace, stack)
    return {name for name, claim in evidence.get("variants", {}).items() if held_against(claim, name, cases)["proven"]}
