"""What was built: an install folder, and the facts its ``build-info.json`` states."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

INFO = "build-info.json"
SETS = ("LLAMA_", "GGML_")  # how variables begin that change what llama.cpp's programs do


@dataclass(frozen=True)
class Install:
    """One variant as installed: where it lies, what it was made from, which programs it has."""

    folder: Path
    release: str
    variant: str
    identity: str
    build_number: int
    base: str
    tree: str
    build_key: str
    targets: tuple[str, ...]
    architectures: tuple[str, ...]

    @property
    def bin(self) -> Path:
        """Return the folder of the programs."""
        return self.folder / "bin"

    @property
    def server(self) -> str | None:
        """Return the server among the targets: the first whose name ends in ``-server``."""
        return server_of(self.targets)

    def values(self) -> dict[str, str]:
        """Return what the placeholders of tests stand for here; ``server`` is missing where there is none."""
        known = {
            "bin": str(self.bin),
            "out": str(self.folder),
            "identity": self.identity,
            "build": str(self.build_number),
            "base": self.base,
            "python": sys.executable,
        }
        return known | ({"server": self.server} if self.server else {})

    def environment(self) -> dict[str, str]:
        """Return the environment for a command that uses this install: its programs come first."""
        path = os.environ.get("PATH", os.defpath)
        return {
            **os.environ,
            "PATH": f"{self.bin}{os.pathsep}{path}",
            "PATCHCTL_OUT": str(self.folder),
            "PATCHCTL_BIN": str(self.bin),
            "PATCHCTL_IDENTITY": self.identity,
        }

    def judged_environment(self) -> dict[str, str]:
        """Return it for a program that is tested or measured: what a person set for llama.cpp is in no result's key."""
        return {name: value for name, value in self.environment().items() if not name.startswith(SETS)}


def server_of(targets: Iterable[str]) -> str | None:
    """Return the server among targets: the first whose name ends in ``-server``."""
    return next((target for target in targets if target.endswith("-server")), None)


def read_install(folder: Path, how_to_build: str = "patchctl build") -> Install:
    """Return the install at ``folder``; ``how_to_build`` is the command that errors tell the user to type.

    Raises PatchctlError (exit code 9) when nothing is built there or its facts cannot be read.
    """
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        where = f"{folder.parent.name}/{folder.name}"
        raise PatchctlError(Code.ENVIRONMENT, f"{where} is not built; build it with: {how_to_build}") from None
    except (OSError, ValueError) as error:
        raise _damaged(folder, str(error), how_to_build) from error
    try:
        return _from_info(folder, info)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}", how_to_build) from error


def _damaged(folder: Path, why: str, how_to_build: str) -> PatchctlError:
    return PatchctlError(Code.ENVIRONMENT, f"{folder / INFO} cannot be read ({why}); build again with: {how_to_build}")


def _from_info(folder: Path, info: dict[str, Any]) -> Install:
    return Install(
        folder=folder.absolute(),
        release=str(info["release"]),
        variant=str(info["variant"]),
        identity=str(info["identity"]),
        build_number=int(info["build_number"]),
        base=str(info["base"]),
        tree=str(info["tree"]),
        build_key=str(info["build_key"]),
        targets=tuple(map(str, info["targets"])),
        architectures=tuple(map(str, info.get("architectures") or ())),
    )
