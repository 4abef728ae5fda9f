"""``patchctl smoke``: run the tests of a stack, and its patches' probes, on binaries already built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command, stack_argument
from patchctl.cli.ui import outcome, seconds, table
from patchctl.errors import Code, PatchctlError, closest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.manifest.workspace import StackFile
    from patchctl.smoke.install import Install
    from patchctl.smoke.plan import Case
    from patchctl.smoke.result import Result


@command("smoke")
@stack_argument
@click.option("--variant", "names", multiple=True, metavar="V", help="Only this variant; can be given again.")
@click.option("--fresh", is_flag=True, help="Also run tests that passed before on the same binaries.")
def smoke(app: App, name: str, *, names: tuple[str, ...], fresh: bool) -> int:
    """Run the tests of STACK on what was built, and say which variants are proven.

    \b
    patchctl smoke stacks/demo.yaml
    patchctl smoke b9187 --variant sm_120 --fresh
    """
    from patchctl.smoke.plan import stack_cases
    from patchctl.smoke.result import as_object, exit_code

    stack = app.stack(name)
    cases = stack_cases(app.workspace, stack)
    results = {it.variant: run_and_show(app, cases, it, fresh=fresh) for it in _installs(app, stack, name, names)}
    app.ui.result({"stack": stack.stack.release, **as_object(results)})
    return exit_code([result for part in results.values() for result in part])


def run_and_show(app: App, cases: Sequence[Case], install: Install, *, fresh: bool = False) -> list[Result]:
    """Run the tests on one variant, show the results and return them."""
    from patchctl.smoke.runner import run_tests

    logs = app.cache / "logs" / install.release / install.tree[:12] / f"{install.variant}.tests"
    total = len(cases)
    with app.ui.progress(f"{install.release} {install.variant}") as show:
        done: list[Result] = []

        def tell(result: Result) -> None:
            done.append(result)
            show(f"test {len(done)} of {total}")

        results = run_tests(cases, install, logs=logs, ledger=app.ledger, fresh=fresh, tell=tell)
    for line in describe(install, results):
        app.ui.say(line)
    return results


def describe(install: Install, results: Sequence[Result]) -> list[str]:
    """Return what a person wants to see of a variant's results: a row each, the reasons, whether it is proven."""
    from patchctl.smoke.result import proven, why_unproven

    rows = [line for result in results for line in _rows(result)]
    state = "proven" if proven(results) else f"unproven: {why_unproven(results)}"
    title = f"{install.release} {install.variant}  b{install.build_number}-{install.identity}  {state}"
    return [title, *table(rows)]


def _rows(result: Result) -> list[list[str]]:
    first, *more = result.detail.splitlines() or [""]
    took = "passed before" if result.remembered else seconds(result.seconds) if result.log else ""
    rows = [[result.test, outcome(result.result, 5), took, first]]
    rows += [["", "", "", line] for line in more]
    if result.log and result.result in {"fail", "error"}:
        rows.append(["", "", "", f"log: {result.log}"])
    return rows


def _installs(app: App, stack: StackFile, name: str, names: Sequence[str]) -> list[Install]:
    """Return the variants to test; without any named, those that are built. Raises PatchctlError when there is none."""
    if names:
        return [find_install(app, stack, name, variant) for variant in dict.fromkeys(names)]
    found = [it for variant in stack.stack.build.variants if (it := _built(app, stack, name, variant)) is not None]
    if not found:
        raise PatchctlError(Code.ENVIRONMENT, f"nothing of {name} is built; build it with: patchctl build {name}")
    return found


def _built(app: App, stack: StackFile, name: str, variant: str) -> Install | None:
    try:
        return find_install(app, stack, name, variant)
    except PatchctlError as error:
        app.ui.note(f"skipped: {error.message}")
        return None


def find_install(app: App, stack: StackFile, name: str, variant: str) -> Install:
    """Return what was built of a variant; raises PatchctlError: exit code 2 for an unknown one, 9 when not built."""
    from patchctl.smoke.install import read_install

    known = list(stack.stack.build.variants)
    if variant not in known:
        near = closest(variant, known) or f"; it has: {', '.join(known)}"
        raise PatchctlError(Code.USAGE, f'{name} has no variant "{variant}"{near}')
    folder = app.workspace.out_folder / stack.stack.release / variant
    return read_install(folder, f"patchctl build {name} --variant {variant}")
