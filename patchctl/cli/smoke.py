"""``patchctl smoke``: run the tests of a stack, and its patches' probes, on binaries already built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command, patch_options
from patchctl.cli.installed import WHOLE, Part, facts, how_to_build, is_release, require_current, source_now
from patchctl.cli.ui import outcome, table
from patchctl.errors import Code, PatchctlError
from patchctl.report.words import duration
from patchctl.ship.variants import unknown_variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from patchctl.manifest.workspace import StackFile
    from patchctl.series.source import Source
    from patchctl.smoke.install import Install
    from patchctl.smoke.plan import Case
    from patchctl.smoke.result import Result


FILE = click.Path(path_type=Path, dir_okay=False)


@command("smoke")
@click.argument("name", metavar="[STACK]", required=False)
@click.option("--variant", "names", multiple=True, metavar="V", help="Only this variant; can be given again.")
@patch_options
@click.option("--fresh", is_flag=True, help="Also run tests that passed before on the same binaries.")
@click.option("--probe", "probes", multiple=True, metavar="ID|all", help="Probes without their patch and with it.")
@click.option("--vs", type=click.Choice(["base"]), help="Show beside it how the tests end without the patches.")
@click.option("--strict", is_flag=True, help="Exit 10 when a variant is not proven or not built, a probe skipped.")
@click.option("--package", type=FILE, metavar="FILE", help="Try a package where it is to run; needs no workspace.")
@click.option("--bring", type=FILE, metavar="RESULT", help="Take the result of a package into STACK's evidence.")
def smoke(
    app: App,
    name: str | None,
    *,
    names: tuple[str, ...],
    only: tuple[str, ...],
    without: tuple[str, ...],
    fresh: bool,
    probes: tuple[str, ...],
    vs: str | None,
    strict: bool,
    package: Path | None,
    bring: Path | None,
) -> int:
    """Run the tests of STACK on what was built, and say which variants are proven.

    \b
    patchctl smoke stacks/demo.yaml
    patchctl smoke b9187 --variant sm_120 --fresh

    Whether the patches do it: the base is built without them, and each probe must fail there and pass with its patch
    and what that requires.

    \b
    patchctl smoke b9187 --probe all
    patchctl smoke b9187 --vs base

    Some of the patches, built with the same words: whose test notices that they are gone? Evidence is left alone.

    \b
    patchctl build b9187 --without rollback-history && patchctl smoke b9187 --without rollback-history

    A package is tried with the tests it brings; FILE.result.json beside it is then brought home:

    \b
    patchctl smoke --package b9187-sm_120.tar.gz
    patchctl smoke b9187 --bring b9187-sm_120.tar.gz.result.json
    """
    part = Part(only, without)
    if package is not None:
        if name is not None or names or bring is not None or probes or vs or fresh or not part.whole:
            raise PatchctlError(Code.USAGE, "--package goes with --strict only: a package brings its own tests")
        return _smoke_package(app, package, strict=strict)
    if name is None:
        raise click.UsageError("Missing argument 'STACK'.", click.get_current_context())
    if bring is not None:
        if names or probes or vs or fresh or strict or not part.whole:
            raise PatchctlError(Code.USAGE, "--bring takes nothing but STACK: no test is run")
        return _bring(app, name, bring)
    if probes:
        from patchctl.cli.beside import probe

        if vs is not None:
            raise PatchctlError(Code.USAGE, "--probe tries the base anyway; --vs goes without it")
        if not part.whole:
            raise PatchctlError(Code.USAGE, "--probe takes each patch with what it requires; name the patches with it")
        return probe(app, app.stack(name), name, probes, names, fresh=fresh, strict=strict)
    return _smoke_stack(app, name, names, part, fresh=fresh, vs=vs, strict=strict)


def _smoke_stack(
    app: App, name: str, names: Sequence[str], part: Part, *, fresh: bool, vs: str | None, strict: bool
) -> int:
    from patchctl.smoke.plan import stack_cases
    from patchctl.smoke.result import as_object, exit_code, proven

    stack = app.stack(name)
    cases = stack_cases(app.workspace, stack)
    installs = _installs(app, stack, name, names, part)
    source = source_now(app, stack, name, part)
    for install in installs:
        require_current(app, install, source, part.named(name))
    applied = {patch.id for patch in source.patches}
    cases = [case for case in cases if case.patch is None or case.patch in applied]
    results = {it.variant: run_and_show(app, cases, it, fresh=fresh) for it in installs}
    if part.whole:
        _record(app, stack, name, source, installs=installs, results=results)
    told = {"stack": source.release, **as_object(results)}
    if vs is not None:
        told["unpatched"] = _beside(app, stack, name, cases, results)
    app.ui.result(told)
    asked = names or stack.stack.build.variants
    shown = all(variant in results and proven(results[variant]) for variant in asked)
    code = exit_code([result for part in results.values() for result in part])
    return code or (Code.ATTENTION if strict and not shown else Code.OK)


def _beside(
    app: App, stack: StackFile, name: str, cases: Sequence[Case], results: Mapping[str, Sequence[Result]]
) -> dict[str, Any]:
    """Show how the tests end without the patches, and return it as JSON; it decides nothing."""
    from patchctl.cli.beside import rows, unpatched
    from patchctl.smoke.result import as_object

    base = unpatched(app, stack, name, list(results), cases)
    for line in rows(results, base):
        app.ui.say(line)
    return as_object(base)


def _record(
    app: App,
    stack: StackFile,
    name: str,
    source: Source,
    *,
    installs: Sequence[Install],
    results: Mapping[str, Sequence[Result]],
) -> None:
    """Write what was seen of the release into its evidence; a build with other settings is not the release."""
    from patchctl.report.evidence import evidence_path, record
    from patchctl.smoke.hardware import detect

    infos = {}
    for it in installs:
        if is_release(stack, it, source):
            infos[it.variant] = facts(it)
        else:
            why = f"{app.workspace.shown(it.folder)} was built with other settings; it is not recorded"
            app.ui.warn(f"{why}; {how_to_build(name, it.variant)}")
    seen = [result for variant in infos for result in results[variant]]
    known = stack.stack.build.variants
    if infos and record(stack.path, source, infos, seen, hardware=vars(detect()), known=known):
        app.ui.detail(f"wrote {app.workspace.shown(evidence_path(stack.path))}")


def _smoke_package(app: App, path: Path, *, strict: bool) -> int:
    from patchctl.ship import trial
    from patchctl.smoke.hardware import detect
    from patchctl.smoke.result import as_object, exit_code, proven

    hardware = detect()
    with app.ui.progress(path.name) as show, trial.opened(path, lambda at: show(f"{at} files")) as package:
        results = run_and_show(app, package.cases, package.install, kept=False)
        written = trial.write_result(package, results, hardware)
    app.ui.say(f"{written}: bring it home with: patchctl smoke {package.facts.source.release} --bring {written.name}")
    release, variant = package.facts.source.release, package.facts.variant
    app.ui.result({"stack": release, "package": str(path), "result": str(written), **as_object({variant: results})})
    return exit_code(results) or (Code.ATTENTION if strict and not proven(results) else Code.OK)


def _bring(app: App, name: str, path: Path) -> int:
    from patchctl.report.evidence import evidence_path
    from patchctl.ship import trial
    from patchctl.ship.notes import shown_hardware
    from patchctl.smoke.plan import stack_cases

    stack = app.stack(name)
    store, _, resolved = app.resolve(stack)
    resolved.require_success(name)
    source = resolved.source(store, stack.stack.upstream.repo, stack.stack.release)
    home = trial.Home(stack, source, stack_cases(app.workspace, stack), app.workspace.out_folder)
    result, changed = trial.bring_home(home, path)
    where = app.workspace.shown(evidence_path(stack.path))
    state = "proven" if result.proven else f"unproven: {result.why}"
    app.ui.say(f"{result.source.release} {result.variant}  {state}  on {shown_hardware(result.hardware)}")
    app.ui.say(f"{'wrote' if changed else 'unchanged'} {where}")
    app.ui.result(
        {
            "stack": stack.stack.release,
            "variant": result.variant,
            "proven": result.proven,
            "why": result.why,
            "hardware": result.hardware,
            "evidence": where,
            "changed": changed,
        }
    )
    return Code.OK


def run_and_show(
    app: App, cases: Sequence[Case], install: Install, *, fresh: bool = False, kept: bool = True
) -> list[Result]:
    """Run the tests on one variant, show the results and return them; ``kept`` False leaves the ledger alone."""
    from patchctl.smoke.runner import run_tests

    logs = app.cache / "logs" / install.release / install.tree[:12] / f"{install.variant}.tests"
    total = len(cases)
    with app.ui.progress(f"{install.release} {install.variant}") as show:
        done: list[Result] = []

        def tell(result: Result) -> None:
            done.append(result)
            show(f"test {len(done)} of {total}")

        results = run_tests(cases, install, logs=logs, ledger=app.ledger if kept else None, fresh=fresh, tell=tell)
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
    took = "passed before" if result.remembered else duration(result.seconds) if result.log else ""
    rows = [[result.test, outcome(result.result, 5), took, first]]
    rows += [["", "", "", line] for line in more]
    if result.log and result.result in {"fail", "error"}:
        rows.append(["", "", "", f"log: {result.log}"])
    return rows


def _installs(app: App, stack: StackFile, name: str, names: Sequence[str], part: Part) -> list[Install]:
    """Return the variants to test; without any named, those that are built. Raises PatchctlError when there is none."""
    if names:
        return [find_install(app, stack, name, variant, part) for variant in dict.fromkeys(names)]
    known = stack.stack.build.variants
    found = [it for variant in known if (it := _built(app, stack, name, variant, part)) is not None]
    if not found:
        what = part.named(name)
        raise PatchctlError(Code.ENVIRONMENT, f"nothing of {what} is built; build it with: patchctl build {what}")
    return found


def _built(app: App, stack: StackFile, name: str, variant: str, part: Part) -> Install | None:
    try:
        return find_install(app, stack, name, variant, part)
    except PatchctlError as error:
        app.ui.note(f"skipped: {error.message}")
        return None


def find_install(app: App, stack: StackFile, name: str, variant: str, part: Part = WHOLE) -> Install:
    """Return what was built of a variant; raises PatchctlError: exit code 2 for an unknown one, 9 when not built."""
    from patchctl.smoke.install import read_install

    if variant not in stack.stack.build.variants:
        raise unknown_variant(stack, variant)
    folder = app.workspace.out_folder / part.label(stack.stack.release) / variant
    return read_install(folder, f"patchctl build {part.named(name)} --variant {variant}")
