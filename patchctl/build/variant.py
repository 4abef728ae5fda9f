"""The face of the build room: one variant of one tree, from a checkout to a folder of binaries."""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchctl import sandbox
from patchctl.build import architectures, fileapi, install, recipe
from patchctl.build.compile import Ninja, compile_targets
from patchctl.build.configure import configure
from patchctl.build.cuda import CudaLibraries, find_libraries, require, toolkit_root
from patchctl.build.folder import BuildFolder, Plan
from patchctl.build.gate import check_python, gate_outputs, little_left
from patchctl.build.orphans import wait_for_orphans
from patchctl.build.progress import Progress, ignore
from patchctl.build.toolchain import is_native
from patchctl.errors import Code
from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from patchctl.build.progress import Watcher
    from patchctl.build.toolchain import Toolchain
    from patchctl.ledger import Ledger
    from patchctl.manifest.model import Build
    from patchctl.sandbox import Sandbox
    from patchctl.series.source import Source

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Job:
    """What to build and where.

    ``slot`` holds the checkout in ``src/`` and the build folders in ``build/<variant>/``; ``out`` is the workspace's
    folder for builds; logs go to ``logs``. ``targets`` replaces the stack's own. With a ``sandbox``, all that runs
    the stack's code runs there; the slot is then one that no code of another stack could write to.
    """

    source: Source
    build: Build
    variant: str
    slot: Path
    out: Path
    logs: Path
    toolchain: Toolchain
    targets: tuple[str, ...] = ()
    jobs: int | None = None
    keep_going: bool = False
    sandbox: Sandbox | None = None

    @property
    def settings(self) -> dict[str, str]:
        """Return the variant's canonical settings, those in the key."""
        return recipe.configuration(self.build, self.variant)

    @property
    def cuda(self) -> bool:
        """Return whether the variant holds CUDA code."""
        return recipe.needs_cuda(self.settings)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the targets to build."""
        return self.targets or tuple(self.build.targets)

    @property
    def identity(self) -> dict[str, str]:
        """Return what of this machine can change the binaries."""
        return self.toolchain.identity(cuda=self.cuda, native=is_native(self.settings))

    @property
    def key(self) -> str:
        """Return the build key."""
        return recipe.build_key(self.source, self.settings, self.identity, self.wanted, self.build.files)

    @property
    def target(self) -> Path:
        """Return the folder that the variant is installed into."""
        return self.out / self.source.release / self.variant

    @property
    def src(self) -> Path:
        """Return the folder of the checkout."""
        return self.slot / "src"

    @property
    def folder(self) -> Path:
        """Return the build folder."""
        return self.slot / "build" / self.variant

    def log(self, step: str) -> Path:
        """Return where the log of one step lies."""
        return self.logs / f"{self.variant}.{step}.log"


@dataclass(frozen=True)
class Built:
    """A built variant: its folder, its key, whether anything had to be done, what ``build-info.json`` says.

    ``aside`` is where the files are now that were in the folder and that no build had put there.
    """

    path: Path
    key: str
    fresh: bool
    info: dict[str, Any]
    aside: tuple[Path, ...] = ()


@dataclass
class _Run:
    job: Job
    watch: Watcher
    environment: Mapping[str, str] = field(default_factory=dict)
    sandbox: Sandbox | None = None
    durations: dict[str, float] = field(default_factory=dict)

    def step(self, name: str) -> Progress:
        start = Progress(self.job.variant, name)
        self.watch(start)
        return start


def find_built(job: Job, ledger: Ledger) -> Built | None:
    """Return the installed build when it is the one ``job`` asks for and all its files are as installed, else None.

    Starts no process and needs no checkout; reads only files whose size or times differ from those last seen.
    """
    key = job.key
    kept = ledger.get("build", key)
    try:
        info = json.loads((job.target / install.BUILD_INFO).read_bytes())
        same = info["build_key"] == key and info["release"] == job.source.release and info["variant"] == job.variant
        if not kept or not same or kept["files"] != info["files"] or not _complete(job, ledger, info["files"]):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Built(job.target, key, fresh=False, info=info)


def _complete(job: Job, ledger: Ledger, files: list[dict[str, Any]]) -> bool:
    place = _place(job)
    known = ledger.get("installed", place) or {}
    if install.changed_file(job.target, files, known) is not None:
        return False
    now = install.stamps(job.target, files)
    if now != known:
        ledger.put("installed", place, now)
    return True


def _place(job: Job) -> str:
    """Return the key of the files where they are: several workspaces may hold the same build."""
    return digest("installed", str(job.target), job.key)


def build_variant(job: Job, ledger: Ledger, watch: Watcher = ignore) -> Built:
    """Build one variant of the tree that ``job.src`` holds and install it; return at once when that was done before.

    The caller holds the slot's lock. Raises PatchctlError: exit code 2 for an unknown target that was asked for, 3 for
    one of the stack, 5 when configure, gate, compile, install or a check of the product fails, 9 when a tool is missing
    or the disk is full. Whatever stops it, the same call goes on from there.
    """
    built = find_built(job, ledger)
    if built is not None:
        return built
    run = _Run(job, watch)
    _prepared(run)
    _make(run)
    info, aside = _install(run)
    ledger.put("installed", _place(job), install.stamps(job.target, info["files"]))
    ledger.put(
        "build", job.key, {"files": info["files"]}, seconds=sum(run.durations.values()), log=str(job.log("compile"))
    )
    return Built(job.target, job.key, fresh=True, info=info, aside=aside)


def pass_gate(job: Job, watch: Watcher = ignore) -> None:
    """Configure, and compile what the stack touched and nothing else. Raises PatchctlError as ``build_variant`` does.

    The caller holds the slot's lock.
    """
    run = _Run(job, watch)
    _prepared(run)
    _make(run, gate_only=True)


def _prepared(run: _Run) -> None:
    job = run.job
    require(job.variant, job.settings, job.toolchain)
    check_python(job.src, job.source.touched)
    wait_for_orphans(job.folder)
    if job.sandbox is not None:
        sandbox.remove_unsound(job.folder, [job.src])


def _make(run: _Run, *, gate_only: bool = False) -> None:
    job = run.job
    libraries = find_libraries(job.toolchain) if job.cuda else CudaLibraries()
    machine = recipe.machine_settings(job.toolchain, cuda=job.cuda) | libraries.settings
    settings = job.settings
    settings["CMAKE_INSTALL_RPATH"] = ";".join((settings["CMAKE_INSTALL_RPATH"], *libraries.run_paths))
    words = recipe.arguments(machine, settings, recipe.identity_settings(job.source))
    folder = BuildFolder(
        job.folder,
        job.src,
        settings=digest(recipe.RECIPE_VERSION, machine, settings, _stamps(job.toolchain)),
        arguments=words,
    )
    plan = folder.prepare()
    run.environment = recipe.environment(os.environ, job.slot, job.toolchain, direct=plan.direct)
    run.sandbox = _sandbox(job, libraries)
    _configure(run, folder, plan, words)
    _require_sound(job)
    _compile(run, gate_only=gate_only)
    _require_sound(job)
    folder.ready()


def _sandbox(job: Job, libraries: CudaLibraries) -> Sandbox | None:
    """Return the box of this build: it reads the sources and the tools, and has the build folder."""
    if job.sandbox is None:
        return None
    chain = job.toolchain
    tools = (chain.cc, chain.cxx, chain.nvcc, chain.ccache, chain.cmake, chain.ninja)
    seen = sandbox.programs(tool.path for tool in tools if tool is not None)
    cuda = [toolkit_root(chain.nvcc)] if job.cuda and chain.nvcc is not None else []
    cuda += [place.parent for place in libraries.places.values()]
    return job.sandbox.also(readable=[job.src, *seen, *cuda], writable=[job.folder])


def _require_sound(job: Job) -> None:
    if job.sandbox is not None:
        sandbox.require_sound(job.folder, [job.src])


def _stamps(toolchain: Toolchain) -> list[str]:
    tools = (toolchain.cc, toolchain.cxx, toolchain.nvcc, toolchain.cmake, toolchain.ninja)
    return [tool.stamp for tool in tools if tool is not None]


def _configure(run: _Run, folder: BuildFolder, plan: Plan, words: list[str]) -> None:
    if not plan.configure:
        return
    run.step("configure")
    job = run.job
    run.durations["configure"] = configure(
        job.toolchain,
        source=job.src,
        build=job.folder,
        arguments=words,
        environment=run.environment,
        log=job.log("configure"),
        sandbox=run.sandbox,
    )
    folder.configured()


def _compile(run: _Run, *, gate_only: bool) -> None:
    job = run.job
    tool = job.toolchain.ninja
    if tool is None:  # ``require`` has said so before
        return
    ninja = Ninja(tool, job.folder, job.src, run.environment, job.jobs, job.keep_going, job.toolchain.nvcc, run.sandbox)
    unknown = Code.USAGE if job.targets else Code.INVALID
    needed = fileapi.closure(fileapi.read_targets(job.folder), job.wanted, unknown=unknown)
    gated = gate_only or not little_left(ninja, job.wanted)
    first = gate_outputs(ninja, job.source.touched, needed) if gated else []
    for step, targets in (("gate", first), ("compile", list(job.wanted))):
        if targets and not (gate_only and step == "compile"):
            done = compile_targets(ninja, targets, log=job.log(step), start=run.step(step), watch=run.watch)
            run.durations[step] = done.seconds


def _install(run: _Run) -> tuple[dict[str, Any], tuple[Path, ...]]:
    job = run.job
    run.step("install")
    start = time.monotonic()
    parts = install.pieces(fileapi.read_targets(job.folder), job.wanted, job.folder)
    if job.sandbox is not None:
        sandbox.require_inside(job.folder, [part.path for part in parts])
    info: dict[str, Any] = {}

    def describe(made: Path) -> bytes:
        install.verify_run_paths(made, job.slot)
        found = _architectures(job, made)
        run.durations["install"] = time.monotonic() - start
        info.update(_info(run, made, found))
        return json.dumps(info, indent=2).encode() + b"\n"

    aside = install.install(job.target, parts, source=job.src, files=job.build.files, describe=describe)
    return info, aside


def _architectures(job: Job, made: Path) -> list[str]:
    if not job.cuda:
        return []
    exact = recipe.falsy(job.settings.get("GGML_STATIC", "OFF"))
    # Nobody else's program reads, outside of the sandbox, what was made in it.
    cuobjdump = None if job.sandbox is not None else find_cuobjdump(job.toolchain)
    return architectures.verify(job.folder, install.binaries(made), cuobjdump, exact=exact)


def find_cuobjdump(toolchain: Toolchain) -> Path | None:
    """Return cuobjdump: beside nvcc, on the path, or of NVIDIA's wheel in the running Python."""
    beside = toolchain.nvcc.path.resolve().parent / "cuobjdump" if toolchain.nvcc else None
    wheels = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/*/bin/cuobjdump"))
    found = shutil.which("cuobjdump")
    places = [beside, Path(found) if found else None, *wheels]
    return next((place for place in places if place is not None and place.is_file()), None)


def _info(run: _Run, made: Path, found: list[str]) -> dict[str, Any]:
    job, source = run.job, run.job.source
    return {
        "schema_version": SCHEMA_VERSION,
        "release": source.release,
        "variant": job.variant,
        "identity": source.identity,
        "build_number": source.build_number,
        "base": source.base,
        "tree": source.tree,
        "build_key": job.key,
        "patches": [vars(patch) for patch in source.patches],
        "toolchain": job.identity,
        "cmake": {**job.settings, **recipe.identity_settings(source)},
        "targets": list(job.wanted),
        "architectures": found,
        "durations": {step: round(seconds, 3) for step, seconds in run.durations.items()},
        "files": install.list_files(made),
    }
