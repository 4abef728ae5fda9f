"""Patched beside unpatched: the parts of ``patchctl smoke`` that also build the base without patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.cli.ui import outcome, table
from patchctl.errors import Code, PatchctlError, closest
from patchctl.smoke.beside import Probed, exit_code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from patchctl.cli.common import App
    from patchctl.manifest.workspace import StackFile
    from patchctl.smoke.plan import Case
    from patchctl.smoke.result import Result

ALL = "all"


def probe(
    app: App,
    stack: StackFile,
    name: str,
    asked: Sequence[str],
    variants: Sequence[str],
    *,
    fresh: bool = False,
    strict: bool = False,
) -> int:
    """Run probes on the unpatched base, then with each one's patch and what it requires; show and record both.

    Returns the exit code; with ``strict`` a probe that could not be tried is 10.
    """
    cases = _probes(app, stack, name, asked)
    chosen = list(variants) or _built(app, stack)
    sides = {"base": _side(app, stack, name, chosen, cases, base=True, fresh=fresh)}
    probed = []
    for case in cases:
        try:
            sides["patched"] = _side(app, stack, name, chosen, [case], only=[str(case.patch)], fresh=fresh)
            problem = ""
        except PatchctlError as error:
            sides["patched"], problem = {}, error.message.split("\n")[0]
        for variant, unpatched in sides["base"].items():
            found = (_of(unpatched, case), _of(sides["patched"].get(variant, []), case))
            probed.append(Probed(str(case.patch), variant, *found, problem))
    for line in _table(probed):
        app.ui.say(line)
    app.ui.result(
        {"stack": stack.stack.release, "results": [], "probes": [it.as_object() for it in probed], "proven": {}}
    )
    _record(app, stack, name, cases, probed)
    code = exit_code(probed)
    return code or (Code.ATTENTION if strict and any(it.verdict != "pass" for it in probed) else Code.OK)


def _record(app: App, stack: StackFile, name: str, cases: Sequence[Case], probed: Sequence[Probed]) -> None:
    """Write how the probes ended into the release's evidence; one that could not be tried says nothing of its patch."""
    from patchctl.cli.installed import source_now
    from patchctl.report.evidence import evidence_path, record_sightings
    from patchctl.smoke.hardware import detect
    from patchctl.smoke.runner import definition_key

    try:
        source = source_now(app, stack, name)
    except PatchctlError as error:
        app.ui.warn(f"nothing is recorded, the whole stack does not apply: {error.message}")
        return
    keys = {str(case.patch): definition_key(case) for case in cases}
    rows = [{**it.claim(), "definition": keys[it.patch]} for it in probed if it.verdict in {"pass", "fail"}]
    if rows and record_sightings(stack.path, source, "probes", rows, hardware=vars(detect())):
        app.ui.detail(f"wrote {app.workspace.shown(evidence_path(stack.path))}")


def unpatched(
    app: App, stack: StackFile, name: str, variants: Sequence[str], cases: Sequence[Case], *, sandbox: bool = False
) -> dict[str, list[Result]]:
    """Return how the tests end on the base without any patch, by variant; built and run in a ``sandbox`` if wanted."""
    return _side(app, stack, name, variants, cases, base=True, sandbox=sandbox)


def rows(results: Mapping[str, Sequence[Result]], base: Mapping[str, Sequence[Result]]) -> list[str]:
    """Return a table of how each test ends without the patches and with them."""
    lines = []
    for variant, patched in results.items():
        before = {result.test: result for result in base.get(variant, [])}
        lines += [
            [variant, it.test, outcome(before[it.test].result, 5), outcome(it.result, 5), _first(before[it.test])]
            for it in patched
            if it.test in before
        ]
    return table([["variant", "test", "unpatched", "patched", ""], *lines])


def _probes(app: App, stack: StackFile, name: str, asked: Sequence[str]) -> list[Case]:
    from patchctl.smoke.plan import load_probe

    known = stack.stack.patches
    for patch in asked:
        if patch not in {*known, ALL}:
            raise PatchctlError(Code.USAGE, f"{name} has no patch {patch!r}{closest(patch, known)}")
    found = {patch: load_probe(app.workspace, patch) for patch in known if ALL in asked or patch in asked}
    for patch, case in found.items():
        if case is None:
            if patch in asked:
                raise PatchctlError(Code.INVALID, f"{patch} has no probe; write patches/{patch}/probe.yaml")
            app.ui.warn(f"{patch} has no probe: nothing tells whether it does anything")
    return [case for case in found.values() if case is not None]


def _built(app: App, stack: StackFile) -> list[str]:
    """Return the variants that are built, all when none is."""
    from patchctl.smoke.install import INFO

    out = app.workspace.out_folder / stack.stack.release
    built = [variant for variant in stack.stack.build.variants if (out / variant / INFO).is_file()]
    return built or list(stack.stack.build.variants)


def _side(
    app: App,
    stack: StackFile,
    name: str,
    variants: Sequence[str],
    cases: Sequence[Case],
    *,
    only: Sequence[str] = (),
    base: bool = False,
    sandbox: bool = False,
    fresh: bool = False,
) -> dict[str, list[Result]]:
    """Build one side and run tests on it; a variant that cannot be built here is left out, with a note."""
    from patchctl.cli.part import run_part
    from patchctl.cli.unpatched import remember
    from patchctl.smoke.install import read_install
    from patchctl.smoke.runner import run_tests

    part = run_part(app, stack, name, variants, only=only, base=base, sandbox=sandbox)
    done = part.done
    for error in done.failed.values():
        raise error
    for variant, why in done.skipped.items():
        app.ui.note(f"skipped: {variant}: {why}")
    results = {}
    for variant, built in done.built.items():
        install = read_install(built.path)
        logs = app.cache / "logs" / install.release / install.tree[:12] / f"{variant}.tests"
        with app.ui.progress(f"{install.release} {variant}") as show:
            results[variant] = run_tests(
                cases,
                install,
                logs=logs,
                ledger=app.ledger,
                fresh=fresh,
                sandbox=part.sandbox,
                tell=lambda result: show(result.test),
            )
        if base:
            remember(app, stack.stack.upstream.commit, cases, results[variant])
    return results


def _of(results: Sequence[Result], case: Case) -> Result | None:
    return next((result for result in results if result.test == case.test.name), None)


def _first(result: Result) -> str:
    return result.detail.split("\n")[0]


def _table(probed: Sequence[Probed]) -> list[str]:
    return table(
        [
            ["patch", "variant", "unpatched", "patched", ""],
            *([it.patch, it.variant, *(outcome(word, 5) for word in it.words().values()), it.says] for it in probed),
        ]
    )
