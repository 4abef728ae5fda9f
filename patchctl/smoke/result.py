"""What a test gives: for itself, and for the variant it ran on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from patchctl.errors import Code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Word = Literal["pass", "fail", "skip", "error"]


@dataclass(frozen=True)
class Verdict:
    """How one run ended, and why in words: the first line says it all, further ones are quoted from logs."""

    result: Word
    detail: str = ""


@dataclass(frozen=True)
class Result:
    """One test on one variant.

    ``seconds`` is wall time; ``log`` the file with all it printed; ``patch`` the patch whose probe it is;
    ``definition`` tells the test from what it is later (``runner.definition_key``); ``attention`` means a known defect
    that is gone; ``remembered`` that it passed before and was not run again; ``gpu`` holds what the GPUs spent
    (``memory_mib``, ``joules``), where the driver tells.
    """

    test: str
    variant: str
    result: Word
    detail: str
    seconds: float
    log: str
    patch: str | None = None
    definition: str = ""
    attention: bool = False
    remembered: bool = False
    gpu: dict[str, float | None] | None = None


def proven(results: Sequence[Result]) -> bool:
    """Return whether a variant with these results is proven: there is a test, and all of them ran and passed."""
    return bool(results) and all(result.result == "pass" for result in results)


def why_unproven(results: Sequence[Result]) -> str:
    """Return in one line why a variant with these results is not proven, empty when it is."""
    if not results:
        return "it has no test"
    counted = [(word, sum(result.result == word for result in results)) for word in ("fail", "error", "skip")]
    return ", ".join(f"{count} of {len(results)} {_PLURAL[word]}" for word, count in counted if count)


def exit_code(results: Sequence[Result]) -> Code:
    """Return what a command ends with: 6 when a test failed or could not run, 10 when only a known defect is gone."""
    bad = [result for result in results if result.result in {"fail", "error"}]
    if any(not result.attention for result in bad):
        return Code.TEST
    return Code.ATTENTION if bad else Code.OK


def as_object(results: Mapping[str, Sequence[Result]]) -> dict[str, Any]:
    """Return the results by variant as ``smoke --json`` states them; ``unpatched`` is null where it was not tried."""
    every = [result for part in results.values() for result in part]
    return {
        "results": [_row(result) for result in every if result.patch is None],
        "probes": [
            {"id": result.patch, "unpatched": None, "patched": result.result, **_row(result)}
            for result in every
            if result.patch is not None
        ],
        "proven": {variant: proven(part) for variant, part in results.items()},
    }


def _row(result: Result) -> dict[str, Any]:
    return {name: value for name, value in asdict(result).items() if name != "patch"}


_PLURAL = {"fail": "failed", "error": "could not run", "skip": "skipped"}
