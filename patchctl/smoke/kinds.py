"""The kinds of tests. Each is a function from its definition and a setting to a verdict; a new kind is one more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from patchctl.errors import closest
from patchctl.smoke.asking import run_http
from patchctl.smoke.child import CannotRunError, FailedError
from patchctl.smoke.command import run_command
from patchctl.smoke.compare import run_compare
from patchctl.smoke.models.names import MODELS, of_file
from patchctl.smoke.placeholders import fill, fill_pattern
from patchctl.smoke.result import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from patchctl.document import Loc
    from patchctl.manifest.model import Test
    from patchctl.smoke.setting import Setting

KINDS: dict[str, Callable[[Any, Setting], Verdict]] = {
    "command": run_command,
    "http": run_http,
    "compare": run_compare,
}
OWN_KEYS = frozenset(("body", "answer", "env"))  # what is sent and what comes back has keys of its own
PATTERNS = frozenset(("output", "text", "log", "no_log"))


def kind_of(test: Test) -> str:
    """Return the kind of a test: the one of ``KINDS`` that it defines."""
    return next(kind for kind in KINDS if getattr(test, kind) is not None)


def run_kind(test: Test, setting: Setting) -> Verdict:
    """Run a test and return how it ended; nothing it does, or cannot do, is raised except ctrl-C."""
    kind = kind_of(test)
    try:
        return KINDS[kind](getattr(test, kind), setting)
    except FailedError as failure:
        return Verdict("fail", str(failure))
    except CannotRunError as reason:
        return Verdict("error", str(reason))
    except OSError as error:
        return Verdict("error", f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")


def invalid(test: Test, values: Mapping[str, str]) -> list[tuple[Loc, str]]:
    """Return what is wrong with a test's placeholders and regular expressions and where, before anything runs."""
    known = {
        **values,
        **({} if test.command is not None else {"port": "1"}),
        **({"models": "models"} if test.models else {}),
    }
    definition = test.model_dump(exclude_none=True, exclude={"name", "reason"})
    return [*_unknown_models(test), *_invalid(definition, known, (), "")]


def _unknown_models(test: Test) -> Iterator[tuple[Loc, str]]:
    for at, name in enumerate(test.models):
        if of_file(name) not in MODELS:
            near = closest(name, list(MODELS)) or f"; there are: {', '.join(MODELS)}"
            yield ("models", at), f'there is no test model "{name}"{near}'


def _invalid(value: Any, values: Mapping[str, str], loc: Loc, key: str) -> Iterator[tuple[Loc, str]]:
    if isinstance(value, dict):
        own = key in OWN_KEYS
        for name, inner in value.items():
            yield from _invalid(inner, values, (*loc, name), key if own else name)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _invalid(inner, values, (*loc, at), key)
    elif isinstance(value, str):
        yield from ((loc, problem) for problem in _invalid_text(value, values, key))


def programs(test: Test) -> set[str]:
    """Return the programs in ``{bin}`` that a test names; ``{server}`` is the one that serves."""
    named = set(re.findall(r"\{bin\}/([\w.+-]+)", test.model_dump_json()))
    if "{server}" in test.model_dump_json().replace("{{server}}", ""):
        named.add("{server}")
    served = {kind.server for kind in (test.http, test.compare) if kind is not None}
    return named | {server for server in served if "{" not in server}


def _invalid_text(text: str, values: Mapping[str, str], key: str) -> list[str]:
    try:
        if key in PATTERNS:
            re.compile(fill_pattern(text, values))
        fill(text, values)
    except ValueError as error:
        return [str(error)]
    except re.error as error:
        return [f"{key}: {text} is no regular expression: {error}"]
    return []
