"""The probes of a stack on a base without any patch: whether upstream still needs them, by experiment."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from patchctl.errors import PatchctlError
from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from patchctl.cli.common import App
    from patchctl.manifest.workspace import StackFile
    from patchctl.smoke.plan import Case
    from patchctl.smoke.result import Result

TOLD = frozenset({"pass", "fail"})
KIND, RECIPE = "unpatched", 1
Told = dict[str, tuple[str, str]]


def remembered(app: App, stack: StackFile, base: str) -> Told:
    """Return how the probes of the patches ended when they were last tried on ``base`` without patches, if they were.

    A probe that was changed since counts as one that was not tried.
    """
    keys: dict[str, str] = {}
    for patch in stack.stack.patches:
        with contextlib.suppress(PatchctlError):  # whoever is to run the probe says what is wrong with it
            case = _case(app, patch)
            keys |= {patch: _key(case, base)} if case else {}
    kept = app.ledger.get_many(KIND, keys.values())
    return {patch: (kept[key]["result"], kept[key]["detail"]) for patch, key in keys.items() if key in kept}


def remember(app: App, base: str, cases: Iterable[Case], results: Sequence[Result]) -> None:
    """Keep how the probes among some tests ended on ``base`` without patches."""
    told = {result.patch: result for result in results if result.patch and result.result in TOLD}
    made = {_key(case, base): _plain(told[case.patch]) for case in cases if case.patch in told}
    app.ledger.put_many(KIND, made)


def _plain(result: Result) -> dict[str, str]:
    return {"result": result.result, "detail": result.detail.split("\n")[0]}


def _case(app: App, patch: str) -> Case | None:
    from patchctl.smoke.plan import load_probe

    return load_probe(app.workspace, patch)


def _key(case: Case, base: str) -> str:
    from patchctl.smoke.runner import definition_key

    return digest(KIND, RECIPE, base, definition_key(case))


def probe_results(app: App, stack: StackFile, base: str, *, sandbox: bool) -> Told:
    """Return how the probes of the patches end on ``base`` without patches: "pass" or "fail", and what was seen.

    Variants are built one after another until each probe has told; one that no machine here can run is left out.
    Raises PatchctlError when nothing can be built, or no sandbox be had where one is wanted (exit code 9).
    """
    from patchctl.cli.beside import unpatched

    there, name = _on(stack, base), stack.stack.release
    cases = [case for patch in stack.stack.patches if (case := _case(app, patch)) is not None]
    found: Told = {}
    for variant in stack.stack.build.variants:
        left = [case for case in cases if case.patch not in found]
        if not left:
            break
        for results in unpatched(app, there, name, [variant], left, sandbox=sandbox).values():
            told = [result for result in results if result.result in TOLD]
            found |= {str(result.patch): (result.result, result.detail.split("\n")[0]) for result in told}
    return found


def _on(stack: StackFile, base: str) -> StackFile:
    """Return the stack as if its base were another; its file stays."""
    from patchctl.document import parse
    from patchctl.manifest.edit import set_scalar
    from patchctl.manifest.outline import StackOutline, certain

    text = set_scalar(stack.document, ("upstream", "commit"), base).decode()
    document = parse(text, stack.document.path)
    return replace(stack, outline=StackOutline.of(certain("stack", document)), document=document)
