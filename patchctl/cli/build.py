"""``patchctl build``: from a manifest to binaries that run, and the proof that they do."""

from __future__ import annotations

import contextlib
import functools
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command, patch_options, stack_argument
from patchctl.cli.installed import require_one_of_release
from patchctl.cli.lock import follow_lock
from patchctl.cli.ui import outcome, table
from patchctl.errors import Code, PatchctlError
from patchctl.ledger import digest
from patchctl.report.words import duration
from patchctl.sandbox import try_early

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from patchctl.build.progress import Progress
    from patchctl.build.toolchain import Toolchain
    from patchctl.build.variant import Built, Job
    from patchctl.manifest.workspace import StackFile
    from patchctl.sandbox import Sandbox
    from patchctl.series.resolve import Resolved
    from patchctl.series.source import Source
    from patchctl.ship.bundle import Bundle
    from patchctl.smoke.plan import Case
    from patchctl.smoke.result import Result
    from patchctl.store import Store


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    variants: tuple[str, ...]
    targets: tuple[str, ...]
    cmake: tuple[str, ...]
    only: tuple[str, ...]
    without: tuple[str, ...]
    jobs: int | None
    keep_going: bool
    locked: bool
    strict: bool
    sandbox: bool

    @property
    def whole(self) -> bool:
        """Return whether this is the release itself, not a part of its patches or targets."""
        return not self.only and not self.without and not self.targets


@dataclass
class Done:
    """What became of each variant: built, skipped because this machine cannot, or failed."""

    built: dict[str, Built] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, PatchctlError] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def __contains__(self, variant: str) -> bool:
        """Return whether anything became of a variant."""
        return variant in self.built or variant in self.skipped or variant in self.failed

    def of(self, variant: str) -> list[Result]:
        """Return the results of one variant's tests."""
        return [result for result in self.results if result.variant == variant]


@dataclass
class Run:
    """One build of one stack: what was asked for, what it is made from, what became of it.

    Sources come from upstream's objects in ``store``, or lie in the slot of ``bundle``.
    """

    app: App
    stack: StackFile
    source: Source
    options: Options
    store: Store | None = None
    bundle: Bundle | None = None
    done: Done = field(default_factory=Done)

    @property
    def slot(self) -> Path:
        """Return the folder of the checkout and the build folders: one for each release of each workspace."""
        from patchctl.build.box import patch_set

        if self.bundle is not None:
            return self.bundle.slot
        stack = self.stack.stack
        key = [stack.upstream.repo, str(self.app.workspace.root), stack.release]
        if self.options.sandbox:  # what other patches left in a build folder is not theirs to hand on
            key.append(patch_set(self.source.patches))
        return self.app.cache / "build" / digest(*key)[:12]

    @functools.cached_property
    def sandbox(self) -> Sandbox | None:
        """Return the sandbox, if one was asked for; raises PatchctlError (exit code 9) where there can be none."""
        from patchctl.build.box import build_box

        if not self.options.sandbox:
            return None
        return build_box(self.app.cache, self.source.patches, locked_base=self.options.whole)

    @property
    def logs(self) -> Path:
        """Return the folder of the logs."""
        return self.app.cache / "logs" / self.source.release / self.source.tree[:12]


@command("build")
@stack_argument
@click.option("--variant", "variants", multiple=True, metavar="V", help="Build this variant only (repeatable).")
@click.option("--target", "targets", multiple=True, metavar="T", help="Build this target only (repeatable).")
@click.option(
    "--cmake",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of a variant V that STACK does not have (repeatable).",
)
@patch_options
@click.option("-j", "--jobs", type=click.IntRange(1), help="Compile this many files at once.")
@click.option("-k", "--keep-going", is_flag=True, help="Compile what can be compiled after a failure.")
@click.option("--locked", is_flag=True, help="Fail (exit 3) instead of renewing the lock.")
@click.option("--strict", is_flag=True, help="Exit 10 when a variant is not proven.")
@click.option(
    "--sandbox",
    is_flag=True,
    help="Without network, home and other files; with --locked, only what a committed lock lists.",
)
def build(app: App, *, name: str, **words: Any) -> int:
    """Apply STACK, configure, compile, install and test it; prints where the binaries are.

    STACK may be a bundle (FILE.tar.gz): it needs no git, no network and no workspace, and installs into ./out/.

    \b
    patchctl build stacks/demo.yaml
    patchctl build stacks/b9187.yaml --variant cpu
    patchctl build b9187-bundle.tar.gz --variant sm_90 --cmake GGML_CUDA=ON --cmake CMAKE_CUDA_ARCHITECTURES=90-real
    """
    found, code = carry_out(app, name, Options(**words))
    app.ui.result(found)
    return code


def carry_out(app: App, name: str, options: Options) -> tuple[dict[str, Any], int]:
    """Build and test a stack or bundle, tell people; returns the object of ``--json`` and the exit code."""
    from patchctl.ship.bundle import is_bundle

    if options.sandbox:
        try_early()
    run, cases = (_from_bundle if is_bundle(name) else _from_stack)(app, name, options)
    build_all(run, wanted_variants(run.stack, options))
    _smoke(run, cases)
    if options.whole and (run.done.built or run.done.failed):
        _record(run)
    _show(run)
    return _object(run), _code(run)


def _from_stack(app: App, name: str, options: Options) -> tuple[Run, list[Case]]:
    from patchctl.ship.variants import with_variant

    stack = with_variant(app.stack(name), options.variants, options.cmake)
    wanted_variants(stack, options)
    require_one_of_release(app, stack)
    store, _, resolved = app.resolve(stack, only=options.only, without=options.without)
    resolved.require_success(name)
    if options.whole:
        follow_lock(app, stack, store, resolved, locked=options.locked)
    source = resolved.source(store, stack.stack.upstream.repo, label_of(stack.stack.release, options))
    if options.sandbox and options.locked:
        from patchctl.manifest.trust import require_committed

        require_committed(stack.path, [(patch.id, patch.sha256) for patch in resolved.patches])
    return Run(app, stack, source, options, store=store), _cases(app, stack, resolved, options)


def _from_bundle(app: App, name: str, options: Options) -> tuple[Run, list[Case]]:
    from patchctl.ship.variants import with_variant
    from patchctl.smoke.plan import stack_cases

    if options.only or options.without:
        raise PatchctlError(Code.USAGE, "a bundle is one tree: --only and --without are for stacks")
    bundle = open_bundle(app, name)
    stack = with_variant(bundle.stack, options.variants, options.cmake)
    wanted_variants(stack, options)
    source = replace(bundle.source, release=label_of(bundle.source.release, options))
    return Run(app, stack, source, options, bundle=bundle), stack_cases(bundle.workspace, stack)


def open_bundle(app: App, name: str) -> Bundle:
    """Return the bundle at the path ``name``, unpacked; what is built of it goes below the current folder."""
    from pathlib import Path

    from patchctl.manifest.workspace import Workspace
    from patchctl.ship import bundle

    app.workspace = Workspace(Path.cwd())
    with app.ui.progress(name) as show:
        return bundle.open_bundle(Path(name), app.cache, lambda at: show(f"{at} files"))


def wanted_variants(stack: StackFile, options: Options) -> list[str]:
    """Return the variants to build; raises PatchctlError (exit code 2) for one that the stack does not have."""
    from patchctl.ship.variants import unknown_variant

    known = list(stack.stack.build.variants)
    for variant in options.variants:
        if variant not in known:
            raise unknown_variant(stack, variant, to_build=True)
    return [variant for variant in known if variant in options.variants] if options.variants else known


def label_of(release: str, options: Options) -> str:
    """Return the name of what is built: the release, or the release with the part of it asked for."""
    words = [f"only-{'+'.join(sorted(set(options.only)))}"] if options.only else []
    words += [f"without-{'+'.join(sorted(set(options.without)))}"] if options.without else []
    words += [f"target-{'+'.join(sorted(set(options.targets)))}"] if options.targets else []
    label = "-".join([release, *words])
    return label if re.fullmatch(r"[A-Za-z0-9._+-]{1,80}", label) else f"{release}-{digest(words)[:12]}"


def _cases(app: App, stack: StackFile, resolved: Resolved, options: Options) -> list[Case]:
    from patchctl.smoke.plan import stack_cases

    return stack_cases(app.workspace, stack, None if options.whole else [patch.id for patch in resolved.patches])


def build_all(run: Run, variants: list[str]) -> None:
    """Build variants, each into ``run.done``; raises PatchctlError (exit code 9) when none can be built here."""
    from patchctl.build.cuda import unavailable
    from patchctl.build.toolchain import find_toolchain
    from patchctl.build.variant import find_built

    toolchain = find_toolchain(run.app.ledger)
    todo = []
    for job in (_job(run, variant, toolchain) for variant in variants):
        ready = find_built(job, run.app.ledger)
        why = unavailable(job.variant, job.settings, toolchain) if ready is None else None
        if ready is not None:
            run.done.built[job.variant] = ready
        elif why is not None:
            run.done.skipped[job.variant] = why
        else:
            todo.append(job)
    if todo:
        _build_jobs(run, todo)
    if not run.done.built and not run.done.failed:
        why = "".join(f"\n  {variant}: {why}" for variant, why in run.done.skipped.items())
        raise PatchctlError(Code.ENVIRONMENT, f"no variant can be built here; patchctl doctor says more{why}")


def _job(run: Run, variant: str, toolchain: Toolchain) -> Job:
    from patchctl.build.variant import Job

    return Job(
        source=run.source,
        build=run.stack.stack.build,
        variant=variant,
        slot=run.slot,
        out=run.app.workspace.out_folder,
        logs=run.logs,
        toolchain=toolchain,
        targets=run.options.targets,
        jobs=run.options.jobs,
        keep_going=run.options.keep_going,
        sandbox=run.sandbox,
    )


def _build_jobs(run: Run, todo: list[Job]) -> None:
    from patchctl.files import locked

    with locked(run.slot.with_suffix(".lock"), f"the build of {run.source.release}"):
        _check_out(run)
        for job in todo:
            _build_job(run, job)


def _build_job(run: Run, job: Job) -> None:
    from patchctl.build.variant import build_variant

    try:
        with _progress(run.app, job) as watch:
            built = build_variant(job, run.app.ledger, watch)
        run.done.built[job.variant] = built
        _tell_aside(run.app, built)
    except PatchctlError as error:
        run.done.failed[job.variant] = error


def _tell_aside(app: App, built: Built) -> None:
    if built.aside:
        folder = next(path for path in built.aside[0].parents if path.parent == built.path.parent)
        names = [path.relative_to(folder).as_posix() for path in built.aside]
        named = ", ".join(names[:3]) + ("…" if len(names) > 3 else "")
        what = f"files in {app.workspace.shown(built.path)} that no build put there"
        app.ui.warn(f"{what} were moved to {app.workspace.shown(folder)}: {named}")


def _check_out(run: Run) -> None:
    from patchctl.series.checkout import materialise

    if run.store is None:
        return _tell_left_out(run, run.bundle.left_out if run.bundle else ())
    app, source = run.app, run.source
    with app.ui.progress(f"{source.release}: sources") as show:
        moved = materialise(run.store, source.tree, run.slot / "src", lambda at, of: show(f"{at} of {of} files"))
    needed = sorted(set(moved.left_out) & set(source.touched))
    if needed:
        raise PatchctlError(Code.ENVIRONMENT, f"no copy of upstream has {', '.join(needed)}, which a patch touches")
    _tell_left_out(run, moved.left_out)
    for path in moved.aside:
        app.ui.warn(f"a file that is not part of the stack was in the sources; moved to {path}")
    return None


def _tell_left_out(run: Run, paths: tuple[str, ...]) -> None:
    if paths:
        named = ", ".join(paths[:3]) + ("…" if len(paths) > 3 else "")
        run.app.ui.warn(f"no copy of upstream has {len(paths)} of its files; left out: {named}")


@contextlib.contextmanager
def _progress(app: App, job: Job) -> Iterator[Callable[[Progress], None]]:
    with app.ui.progress(f"{job.source.release} {job.variant}") as show:

        def watch(progress: Progress) -> None:
            count = f"  {progress.done}/{progress.total}" if progress.total else ""
            left = f"  {duration(progress.eta)} left" if progress.eta is not None else ""
            show(f"{progress.step}{count}{left}")

        yield watch


def _smoke(run: Run, cases: list[Case]) -> None:
    from patchctl.smoke.install import read_install
    from patchctl.smoke.runner import run_tests

    shown = run.app.workspace.shown(run.stack.path)
    for variant, built in run.done.built.items():
        install = read_install(built.path, f"patchctl build {shown} --variant {variant}")
        with run.app.ui.progress(f"{run.source.release} {variant}: tests") as show:
            run.done.results += run_tests(
                cases,
                install,
                logs=run.logs / f"{variant}.tests",
                ledger=run.app.ledger,
                part=bool(run.options.targets),
                sandbox=run.sandbox,
                tell=lambda result: show(result.test),
            )


def _record(run: Run) -> None:
    from patchctl.report.evidence import evidence_path, record
    from patchctl.smoke.hardware import detect

    infos = {name: built.info for name, built in run.done.built.items()}
    known, failed, hardware = run.stack.stack.build.variants, run.done.failed, vars(detect())
    if record(run.stack.path, run.source, infos, run.done.results, hardware=hardware, known=known, failed=failed):
        run.app.ui.detail(f"wrote {run.app.workspace.shown(evidence_path(run.stack.path))}")


def _show(run: Run) -> None:
    ui, source, done = run.app.ui, run.source, run.done
    count = len(source.patches)
    ui.say(f"{source.release}  {source.identity}  {count} patch{'' if count == 1 else 'es'} on b{source.build_number}")
    variants = [variant for variant in run.stack.stack.build.variants if variant in run.done]
    for line in table([_row(run, variant) for variant in variants]):
        ui.say(line)
    for result in done.results:
        if result.result in {"fail", "error"} or result.attention:
            ui.say(f"{outcome(result.result)}  {result.variant}  {result.test}: {result.detail}\n  log: {result.log}")
    for variant, error in done.failed.items():
        ui.error(f"error: {variant}: {error.message}")


def _why_unproven(run: Run, variant: str) -> str:
    """Return why a variant is not proven, empty when it is; some of the targets are not the release."""
    from patchctl.smoke.result import why_unproven

    return why_unproven(run.done.of(variant)) or ("only some of its targets" if run.options.targets else "")


def _row(run: Run, variant: str) -> list[str]:
    done = run.done
    if variant in done.skipped:
        return [variant, "skipped", done.skipped[variant]]
    if variant in done.failed:
        return [variant, outcome("fail"), "see below"]
    built, mine = done.built[variant], done.of(variant)
    spent = f"built in {duration(sum(built.info['durations'].values()))}" if built.fresh else "up to date"
    why = _why_unproven(run, variant)
    proof = f"unproven: {why}" if why else f"{len(mine)} tests passed"
    return [variant, spent, proof, run.app.workspace.shown(built.path)]


def _object(run: Run) -> dict[str, Any]:
    source, done = run.source, run.done
    built = {
        name: {"state": "built" if it.fresh else "up to date", "path": str(it.path), **_brief(it)}
        for name, it in done.built.items()
    }
    skipped = {name: {"state": "skipped", "why": why} for name, why in done.skipped.items()}
    failed = {name: {"state": "failed", "why": error.message} for name, error in done.failed.items()}
    return {
        "stack": source.release,
        "identity": source.identity,
        "base": {"commit": source.base, "build": source.build_number},
        "result": {"commit": source.commit, "tree": source.tree},
        "variants": {**built, **skipped, **failed},
        "results": [vars(result) for result in done.results],
        "proven": {name: not _why_unproven(run, name) for name in done.built},
    }


def _brief(built: Built) -> dict[str, Any]:
    return {name: built.info[name] for name in ("build_key", "architectures", "durations")}


def _code(run: Run) -> int:
    from patchctl.smoke.result import exit_code

    done = run.done
    if done.failed:
        return next(iter(done.failed.values())).exit_code
    tested = exit_code(done.results)
    if tested:
        return tested
    if run.options.strict and (done.skipped or any(_why_unproven(run, name) for name in done.built)):
        return Code.ATTENTION
    asked_but_skipped = set(run.options.variants) & set(done.skipped)
    return Code.ENVIRONMENT if asked_but_skipped else Code.OK
