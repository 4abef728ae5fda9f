"""What is wrong with the model that a failed server was given: often the whole reason, seldom in its last words."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.smoke.child import FailedError
from patchctl.smoke.models.facts import inspect
from patchctl.smoke.models.header import GgufError

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL = frozenset(("-m", "--model"))
DRAFT = frozenset(("-md", "--model-draft", "--spec-draft-model"))
SPECULATIVE = "--spec-type"


def explained(failure: FailedError, words: Sequence[str]) -> FailedError:
    """Return the failure of a server started with ``words``, its first line ended with what is wrong with its model."""
    why = why_model(words)
    if not why or why in str(failure):
        return failure
    first, *more = str(failure).split("\n")
    return FailedError("\n".join([f"{first}; {why}", *more]))


def why_model(words: Sequence[str]) -> str:
    """Return what is wrong with the models among a server's words, empty when nothing is."""
    target, draft = _after(words, MODEL), _after(words, DRAFT)
    for path in filter(None, (target, draft)):
        if why := _broken(path):
            return why
    if _after(words, frozenset((SPECULATIVE,))) == Path("draft-mtp") and (head := draft or target) is not None:
        why = inspect(head).mtp.why
        return f"{head.name}: {why}" if why else ""
    return ""


def _after(words: Sequence[str], names: frozenset[str]) -> Path | None:
    found = [Path(after) for word, after in pairwise(words) if word in names]
    return found[-1] if found else None


def _broken(path: Path) -> str:
    try:
        inspect(path)
    except GgufError as error:
        return f"{path.name} {error}"
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}"
    return ""
