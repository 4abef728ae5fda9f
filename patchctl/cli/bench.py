"""``patchctl bench``: how fast what was built is, against the base or another stack."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command, patch_options
from patchctl.cli.installed import Part
from patchctl.cli.ui import outcome, table
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from patchctl.bench.geometry import Measured
    from patchctl.manifest.model import Limit
    from patchctl.manifest.workspace import StackFile
    from patchctl.series.source import Source
    from patchctl.smoke.install import Install

FILE = click.Path(path_type=Path, dir_okay=False)
ON_CPU, ON_GPU = (0, 1024), (0, 4096, 32768, 131072)
LEAST, USUAL = 5, 6  # from 6 on the measurements of one turn can be held against each other
BASE = "base"


@dataclass(frozen=True)
class Wish:
    """What is to be measured, as the options say it."""

    model: str
    depths: tuple[int, ...]
    kv: tuple[str, ...]
    tokens: int
    repetitions: int
    output: Path | None


@command("bench")
@click.argument("name", metavar="[STACK]", required=False)
@click.option("--variant", "names", multiple=True, metavar="V", help="Only this variant; can be given again.")
@patch_options
@click.option("--vs", metavar="STACK2|base", help="Compare with this stack, or with upstream without patches.")
@click.option(
    "--model", default="24x4x256", metavar="FILE|HxKxD", help="A GGUF, or heads x KV heads x values to make one."
)
@click.option(
    "--depth", "depths", multiple=True, type=click.IntRange(0), metavar="N", help="Tokens already in the cache."
)
@click.option(
    "--kv", multiple=True, default=["f16"], metavar="TYPE", help="Type of the KV cache; the first is compared with."
)
@click.option("--tokens", default=64, type=click.IntRange(1), help="Tokens decoded at a time.")
@click.option("--repetitions", default=USUAL, type=click.IntRange(LEAST), help="How often each is measured, in turns.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write results there."
)
@click.option("--package", type=FILE, metavar="FILE", help="Measure a package where it is to run; needs no workspace.")
def bench(
    app: App, *, name: str | None, names: tuple[str, ...], only: tuple[str, ...], without: tuple[str, ...],
    vs: str | None, package: Path | None, model: str, depths: tuple[int, ...], kv: tuple[str, ...], tokens: int,
    repetitions: int, output: Path | None,
) -> int:  # fmt: skip
    """Measure STACK: decoding and prefill at depth, small batches, first token, warm cache, drafts, memory, energy.

    Builds are measured in turns, one repetition at a time; medians are compared with an interval that holds in 95 of
    100 cases. Limits in the manifest (bench:) make it a test: STACK is then held against the base, and what that shows
    goes into its evidence. Everything measured goes to out/<release>/bench/.

    \b
    patchctl bench b9187 --variant sm_120 --vs base
    patchctl bench b9187 --model qwen.gguf --depth 0 --depth 32768 --kv f16 --kv q8_0

    What one patch costs, built with the same words; evidence is left alone:

    \b
    patchctl bench b9187 --without rollback-planes --vs b9187

    A package, where there is no workspace; with another one, both in turns:

    \b
    patchctl bench --package b9187-sm_120.tar.gz --vs b9150-sm_120.tar.gz
    """
    wish, part = Wish(model, depths, kv, tokens, repetitions, output), Part(only, without)
    if package is not None:
        if name is not None or names or not part.whole:
            raise PatchctlError(Code.USAGE, "--package goes alone: a package is one variant of one stack")
        return _bench_packages(app, package, vs, wish)
    if name is None:
        raise click.UsageError("Missing argument 'STACK'.", click.get_current_context())
    _require_stack(name)
    return _bench_stack(app, name, names, vs, wish, part=part)


def _require_stack(name: str) -> None:
    """Raise PatchctlError (exit code 2) for a file that is something else, with what to type."""
    from patchctl.ship.bundle import is_bundle

    if is_bundle(name):
        why = "no stack: a package is measured with --package, a bundle is sources, to be built and packaged first"
        raise PatchctlError(Code.USAGE, f"{name} is {why}")


def _bench_stack(app: App, name: str, names: Sequence[str], vs: str | None, wish: Wish, *, part: Part) -> int:
    from patchctl.bench.limits import limits_of
    from patchctl.cli.installed import is_release, require_current, source_now
    from patchctl.cli.smoke import find_install

    stack = app.stack(name)
    source = source_now(app, stack, name, part)
    installs = [find_install(app, stack, name, variant, part) for variant in names or _built(app, stack, name, part)]
    told = []
    for install in installs:
        require_current(app, install, source, part.named(name))
        limits = limits_of(stack.stack.bench, install.variant) if vs in {None, BASE} else []
        against = BASE if limits else vs
        other = None if against is None else _other(app, stack, name, against, install.variant)
        sides = [*([(against or "", other)] if other else []), (source.release, install)]
        told.append(_bench(app, sides, wish, limits, wish.output or install.folder.parent / "bench"))
        if part.whole and is_release(stack, install, source):
            _record(app, stack, source, told[-1])
    return _end(app, source.release, told)


def _record(app: App, stack: StackFile, source: Source, result: dict[str, Any]) -> None:
    """Write how the limits were kept into the release's evidence."""
    from patchctl.report.evidence import evidence_path, record_sightings

    shared = {"variant": result["variant"], "model": result["model"]["name"]}
    hardware = {name: said for name, said in result["hardware"].items() if name != "words"}
    rows = [{**shared, **limit} for limit in result["limits"]]
    if rows and record_sightings(stack.path, source, "limits", rows, hardware=hardware):
        app.ui.detail(f"wrote {app.workspace.shown(evidence_path(stack.path))}")


def _built(app: App, stack: StackFile, name: str, part: Part) -> list[str]:
    """Return the variants that are built and can run here; raises PatchctlError (exit code 9) when there is none."""
    from patchctl.smoke.hardware import cannot_run, detect
    from patchctl.smoke.install import read_install

    found, hardware = [], detect()
    for variant in stack.stack.build.variants:
        with contextlib.suppress(PatchctlError):
            install = read_install(app.workspace.out_folder / part.label(stack.stack.release) / variant)
            if cannot_run(install.architectures, hardware) is None:
                found.append(variant)
    if not found:
        what = part.named(name)
        why = f"nothing of {what} is built that this machine can run"
        raise PatchctlError(Code.ENVIRONMENT, f"{why}; build it with: patchctl build {what}")
    return found


def _other(app: App, stack: StackFile, name: str, vs: str, variant: str) -> Install:
    """Return what is compared with: the base, built without patches, or what is built of another stack."""
    from patchctl.cli.installed import require_current, source_now
    from patchctl.cli.part import build_part
    from patchctl.cli.smoke import find_install
    from patchctl.smoke.install import read_install

    if vs == BASE:
        done = build_part(app, stack, name, [variant], base=True)
        for error in done.failed.values():
            raise error
        if variant not in done.built:
            raise PatchctlError(
                Code.ENVIRONMENT, f"the base cannot be built here: {done.skipped.get(variant, variant)}"
            )
        return read_install(done.built[variant].path)
    workspace = app.workspace
    try:
        second = app.stack(vs)
        install = find_install(app, second, vs, variant)
        require_current(app, install, source_now(app, second, vs), vs)
    finally:
        app.workspace = workspace
    return install


def _bench_packages(app: App, path: Path, vs: str | None, wish: Wish) -> int:
    with contextlib.ExitStack() as opened:
        first = _package(app, path, opened)
        other = _package(app, Path(vs), opened) if vs is not None else None
        sides = [*([(other.release, other)] if other else []), (first.release, first)]
        return _end(app, first.release, [_bench(app, sides, wish, [], wish.output or path.parent / "bench")])


def _package(app: App, path: Path, opened: contextlib.ExitStack) -> Install:
    from patchctl.ship import trial

    with app.ui.progress(path.name) as show:
        return opened.enter_context(trial.opened(path, lambda at: show(f"{at} files"))).install


def _bench(
    app: App, named: Sequence[tuple[str, Install]], wish: Wish, limits: Sequence[Limit], output: Path
) -> dict[str, Any]:
    """Measure one variant, show the rows, write the files, and return the result as ``--json`` has it."""
    from patchctl.bench.results import file_name, result_of, write_results
    from patchctl.bench.run import measure
    from patchctl.bench.samples import Settings, Side, require_measurable
    from patchctl.smoke.hardware import cannot_run, detect

    hardware = detect()
    for name, install in named:
        refusal = cannot_run(install.architectures, hardware)
        if refusal:
            raise PatchctlError(Code.ENVIRONMENT, f"{name} {install.variant} cannot be measured here: {refusal}")
        require_measurable(name, install)
    sides = [Side(name, it, _logs(app, it)) for name, (_, it) in zip(_names(named), named, strict=True)]
    own = sides[-1]
    settings = Settings(wish.depths or (ON_GPU if own.install.architectures else ON_CPU), wish.kv, tokens=wish.tokens)
    with _model(wish.model) as (model, mtp), app.ui.progress(f"{own.name} {own.install.variant}") as show:
        rows = measure(
            sides,
            model,
            settings,
            mtp=mtp,
            repetitions=wish.repetitions,
            tell=lambda at, of: show(f"run {at + 1} of {of}"),
        )
        result = result_of(sides, model, settings, rows, hardware=hardware, limits=limits)
    paths = write_results(output / file_name(result), result)
    _show(app, result, paths)
    return result


def _names(named: Sequence[tuple[str, Install]]) -> list[str]:
    """Return what the sides are called; two of one name are told apart by their identity, the same build by order."""
    (own, install), others = named[-1], named[:-1]
    return [_other_name(name, it, own, install) for name, it in others] + [own]


def _other_name(name: str, other: Install, own: str, install: Install) -> str:
    if name != own:
        return name
    return f"{name} again" if other.identity == install.identity else f"{name} {other.identity}"


def _logs(app: App, install: Install) -> Path:
    return app.cache / "logs" / install.release / install.tree[:12] / f"{install.variant}.bench"


@contextlib.contextmanager
def _model(word: str) -> Iterator[tuple[Measured, bool]]:
    """Give the models that a path or a geometry means, and whether they have an MTP head that can draft."""
    from patchctl.bench.geometry import Measured, generated

    path = Path(word)
    if not path.exists():
        with generated(word) as made:
            yield made, True
        return
    from patchctl.smoke.models.facts import inspect
    from patchctl.smoke.models.header import GgufError

    try:
        mtp = inspect(path).mtp
    except GgufError as error:
        raise PatchctlError(Code.TEST, f"{path} {error}") from error
    yield Measured(path.name, path.absolute(), path.absolute()), mtp.complete and not mtp.why


def _show(app: App, result: dict[str, Any], paths: Sequence[Path]) -> None:
    from patchctl.bench.results import shown_row

    against = f" against {result['vs']['name']}" if result["vs"] else ""
    title = (
        f"{result['stack']} {result['variant']}{against}  {result['model']['name']} on {result['hardware']['words']}"
    )
    app.ui.say(title)
    for line in table([shown_row(row) for row in result["rows"]]):
        app.ui.say(line)
    for line in table([[outcome(it["result"], 7), it["limit"], it["detail"]] for it in result["limits"]]):
        app.ui.say(line)
    for path in paths:
        app.ui.note(f"wrote {app.workspace.shown(path) if 'workspace' in vars(app) else path}")


def _end(app: App, release: str, told: Sequence[dict[str, Any]]) -> int:
    from patchctl.bench.limits import exit_code

    app.ui.result({"stack": release, "benches": list(told)})
    return exit_code([one for result in told for one in result["limits"]])
