"""``patchctl model``: make tiny test models, and say what a GGUF holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command
from patchctl.cli.ui import table
from patchctl.errors import Code, PatchctlError, closest

if TYPE_CHECKING:
    from patchctl.smoke.models.facts import Facts
    from patchctl.smoke.models.mtp import Mtp


@click.group("model")
def model() -> None:
    """Make tiny test models, and say what a GGUF holds.

    \b
    patchctl model make perm rand --into models
    patchctl model inspect models/perm.gguf
    """


@command("make")
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="The folder (here).")
def make(app: App, *, names: tuple[str, ...], into: Path) -> int:
    """Make test models NAME.gguf, each with its MTP sidecars; without a name, list them; `all` makes all.

    The bytes are the same on every run and machine.

    \b
    patchctl model make
    patchctl model make all --into models
    """
    from patchctl.files import disk_errors
    from patchctl.smoke.models.names import MODELS

    if not names:
        for line in table([[name, what] for name, what in MODELS.items()]):
            app.ui.say(line)
        app.ui.result({"models": MODELS})
        return Code.OK
    wanted = _wanted(names)
    write = _maker()
    with disk_errors(), app.ui.progress("models") as show:
        for at, name in enumerate(wanted, 1):
            show(f"{name}, {at} of {len(wanted)}")
            write(into, [name])
    made = sorted(path for name in wanted for path in (into / f"{name}.gguf", *into.glob(f"{name}-mtp-*.gguf")))
    app.ui.say(f"made {len(made)} files in {into}: {', '.join(f'{name}.gguf' for name in wanted)} and their sidecars")
    app.ui.result({"files": [{"path": str(path), "sha256": _sha256(path)} for path in made]})
    return Code.OK


def _wanted(names: tuple[str, ...]) -> list[str]:
    from patchctl.smoke.models.names import MODELS

    for name in names:
        if name not in MODELS and name != "all":
            near = closest(name, list(MODELS)) or f"; there are: {', '.join(MODELS)}"
            raise PatchctlError(Code.USAGE, f"there is no test model {name!r}{near}")
    return list(MODELS) if "all" in names else list(dict.fromkeys(names))


def _maker() -> Any:
    from patchctl.smoke.models.kept import maker

    return maker()


def _sha256(path: Path) -> str:
    from patchctl.build.install import sha256_of

    return sha256_of(path)


@command("inspect")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
def inspect(app: App, *, path: Path) -> int:
    """Say what a GGUF holds: architecture, quantisation, KV cache, and whether its MTP head can draft.

    \b
    patchctl model inspect Qwen3.5-27B-Q4_K_M.gguf
    patchctl model inspect FILE --json
    """
    from dataclasses import asdict

    from patchctl.smoke.models.facts import inspect as read
    from patchctl.smoke.models.header import GgufError

    try:
        facts = read(path)
    except GgufError as error:
        raise PatchctlError(Code.TEST, f"{path} {error}") from error
    except OSError as error:
        raise PatchctlError(Code.ENVIRONMENT, f"cannot read {path}: {error.strerror}") from error
    for line in describe(facts):
        app.ui.say(line)
    app.ui.result({"file": str(path), **asdict(facts)})
    return Code.OK


def describe(facts: Facts) -> list[str]:
    """Return what a person wants to know of a GGUF, in lines."""
    size = f"{_count(facts.parameters)} parameters in {_bytes(facts.size)}"
    shape = f"{facts.blocks} blocks, context {facts.context}, {facts.vocabulary} tokens"
    title = f"{facts.architecture}  {facts.name}".rstrip()
    groups = [
        [
            group.name,
            f"{group.tensors} tensor{'' if group.tensors == 1 else 's'}",
            _bytes(group.size),
            _types(group.types),
        ]
        for group in facts.groups
    ]
    kinds = [[name, *_per_token(facts, name)] for name in facts.kv_bytes]
    return [
        title,
        f"  {size}, {shape}",
        *table(groups),
        f"KV cache of {facts.kv_blocks} block{'' if facts.kv_blocks == 1 else 's'}, bytes per token:",
        *table(kinds),
        *(f"  {note}" for note in facts.notes),
        *_mtp(facts.mtp),
    ]


def _per_token(facts: Facts, name: str) -> list[str]:
    size, head = facts.kv_bytes[name], facts.mtp_kv_bytes[name]
    if size is None:
        return ["-", "its heads are no whole blocks of this type"]
    return [f"{size:g}", f"and {head:g} for the MTP head" if head else ""]


def _mtp(mtp: Mtp) -> list[str]:
    if mtp.why:
        return [f"MTP: {mtp.why}"]
    own = {name.split(".nextn.")[-1].removesuffix(".weight"): kind for name, kind in mtp.tensors.items()}
    listed = ", ".join(f"{name} {kind}" for name, kind in sorted(own.items()))
    return [f"MTP: complete ({listed})", *(f"  {remark}" for remark in mtp.remarks)]


def _types(types: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in types.items())


def _count(number: int) -> str:
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def _bytes(number: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} B"


model.add_command(make)
model.add_command(inspect)
