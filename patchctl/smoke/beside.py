"""Patched beside unpatched: what a probe says of a patch, and how a test ends with and without the patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patchctl.errors import Code

if TYPE_CHECKING:
    from collections.abc import Iterable

    from patchctl.smoke.result import Result, Word


@dataclass(frozen=True)
class Probed:
    """A probe on the unpatched base, and with its patch and what that requires; None where it was not run."""

    patch: str
    variant: str
    unpatched: Result | None
    patched: Result | None
    problem: str = ""

    @property
    def verdict(self) -> Word:
        """Return ``pass`` when it fails without the patch and passes with it; skip and error as they come."""
        words = list(self.words().values())
        for word in ("error", "skip"):
            if word in words:
                return word
        return "pass" if words == ["fail", "pass"] else "fail"

    @property
    def needless(self) -> bool:
        """Return whether it passes with the patch and without: the base has what it is for, or the probe is blunt."""
        return all(result is not None and result.result == "pass" for result in (self.unpatched, self.patched))

    @property
    def says(self) -> str:
        """Return in a line what this means."""
        if self.problem:
            return self.problem
        for side in (self.patched, self.unpatched):
            if side is None:
                return "not run: the probe is for other variants, or this one was not built"
            if side.result in {"error", "skip"}:
                return side.detail.split("\n")[0]
        if self.needless:
            return "passes without the patch: the base has what the patch is for, or the probe does not look at it"
        if self.patched is not None and self.patched.result == "fail":
            return self.patched.detail.split("\n")[0]
        return "fails without the patch, passes with it"

    def claim(self) -> dict[str, str]:
        """Return what the release's evidence says of it."""
        return {"patch": self.patch, "variant": self.variant, **self.words()}

    def as_object(self) -> dict[str, Any]:
        """Return what ``smoke --probe --json`` says of it."""
        sides = {"unpatched": self.unpatched, "patched": self.patched}
        return {
            "id": self.patch,
            "variant": self.variant,
            **self.words(),
            "result": self.verdict,
            "detail": self.says,
            "seen": {name: result.detail if result else self.problem for name, result in sides.items()},
            "logs": {name: result.log if result else "" for name, result in sides.items()},
        }

    def words(self) -> dict[str, Word]:
        """Return how either side ended, by its name; what was not run is a skip, what could not be built an error."""
        none: Word = "error" if self.problem else "skip"
        sides = {"unpatched": self.unpatched, "patched": self.patched}
        return {name: result.result if result else none for name, result in sides.items()}


def exit_code(probed: Iterable[Probed]) -> Code:
    """Return 6 when a probe fails with its patch or cannot run, 10 when one only passes without its patch, too."""
    bad = [one for one in probed if one.verdict in {"fail", "error"}]
    if any(not one.needless for one in bad):
        return Code.TEST
    return Code.ATTENTION if bad else Code.OK
