"""A variant that no stack names: another GPU, given on the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError, closest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.manifest.model import CMakeValue
    from patchctl.manifest.workspace import StackFile

GPU = re.compile(r"sm_([1-9][0-9]+[af]?)")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
SETTING = re.compile(r"(?:-D)?([A-Za-z_][A-Za-z0-9_]*)(?::[A-Z]+)?=(.*)", re.DOTALL)


def with_variant(stack: StackFile, names: Sequence[str], words: Sequence[str]) -> StackFile:
    """Return the stack with the one variant that ``names`` names and ``words`` (``NAME=VALUE``) define.

    Its settings stand on top of the stack's own, as those of any variant do. Without ``words`` the stack is returned
    as it is. Raises PatchctlError (exit code 2) for settings of a variant the stack has, or of none or several.
    """
    if not words:
        return stack
    if len(names) != 1:
        raise PatchctlError(Code.USAGE, "--cmake defines one variant that is not in the stack; name it with --variant")
    settings = dict(_setting(word) for word in words)
    name = names[0]
    if name in stack.stack.build.variants:
        why = f"{stack.stack.release} has a variant {name!r} with settings of its own"
        raise PatchctlError(Code.USAGE, f"{why}; give the other settings another name")
    if not NAME.fullmatch(name):
        raise PatchctlError(Code.USAGE, f"{name!r} cannot name a variant: letters, digits, '.', '_' and '-'")
    return _added(stack, name, settings)


def _setting(word: str) -> tuple[str, CMakeValue]:
    found = SETTING.fullmatch(word)
    if found is None:
        raise PatchctlError(Code.USAGE, f"--cmake {word}: that is no NAME=VALUE")
    return found[1], found[2]


def _added(stack: StackFile, name: str, settings: dict[str, CMakeValue]) -> StackFile:
    from patchctl.manifest.model import Variant

    build = stack.stack.build
    variants = {**build.variants, name: Variant(cmake=settings)}
    return stack.holding(stack.stack.model_copy(update={"build": build.model_copy(update={"variants": variants})}))


def unknown_variant(stack: StackFile, name: str, *, to_build: bool = False) -> PatchctlError:
    """Return the error for a variant that the stack does not have: what it has, how ``to_build`` it all the same."""
    known = list(stack.stack.build.variants)
    near = closest(name, known) or f"; it has {', '.join(known)}"
    gpu = GPU.fullmatch(name) if to_build else None
    how = f"--cmake GGML_CUDA=ON --cmake CMAKE_CUDA_ARCHITECTURES={gpu[1]}-real" if gpu else ""
    end = "" if near.endswith("?") else "."
    hint = f"{end} To build it all the same: --variant {name} {how}" if how else ""
    return PatchctlError(Code.USAGE, f'{stack.stack.release} has no variant "{name}"{near}{hint}')
