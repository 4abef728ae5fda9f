"""The probes of a stack on a base without any patch: whether upstream still needs them, by experiment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchctl.cli.common import App
    from patchctl.manifest.workspace import StackFile

TOLD = frozenset({"pass", "fail"})


def probe_results(app: App, stack: StackFile, base: str, *, sandbox: bool) -> dict[str, tuple[str, str]]:
    """Return how the probes of the patches end on ``base`` without patches: "pass" or "fail", and what was seen.

    Variants are built one after another until each probe has told; one that no machine here can run is left out.
    Raises PatchctlError when nothing can be built, or no sandbox be had where one is wanted (exit code 9).
    """
    from patchctl.cli.beside import unpatched
    from patchctl.smoke.plan import load_probe

    there, name = _on(stack, base), stack.stack.release
    cases = [case for patch in stack.stack.patches if (case := load_probe(app.workspace, patch)) is not None]
    found: dict[str, tuple[str, str]] = {}
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
