"""Where one test runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from patchctl.sandbox import Sandbox
    from patchctl.smoke.door import Doors
    from patchctl.smoke.install import Install


@dataclass(frozen=True)
class Setting:
    """On which install, defined in which folder, with what log, scratch folder and time; its models if it has any."""

    install: Install
    here: Path
    log: Path
    scratch: Path
    timeout: float
    models: Path | None = None
    boxed: tuple[Sandbox, Doors] | None = None

    @property
    def sandbox(self) -> Sandbox | None:
        """Return the sandbox that programs run in, if there is one."""
        return None if self.boxed is None else self.boxed[0]

    def values(self) -> dict[str, str]:
        """Return what placeholders stand for."""
        models = {} if self.models is None else {"models": str(self.models)}
        return {**self.install.values(), **models, "here": str(self.here)}

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the program under test, with what the test says (``extra``)."""
        models = {} if self.models is None else {"PATCHCTL_MODELS": str(self.models)}
        return {**self.install.judged_environment(), **models, **extra}
