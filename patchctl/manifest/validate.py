"""From a document to a model: every error at once, at its place, in plain words."""

from __future__ import annotations

import re
import typing
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from patchctl.document import Document, Entries, Items, Loc, Scalar, plain
from patchctl.errors import InvalidError, Problem, closest
from patchctl.manifest import model as shapes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)

# What a pattern means, in words.
PATTERNS: dict[str, str] = {
    typing.get_args(kind)[1].pattern: words
    for kind, words in (
        (shapes.FullOid, "must be all 40 hex digits, in lower case"),
        (shapes.Name, 'must be lower-case letters, digits, ".", "_" and "-", starting with a letter or digit'),
        (shapes.VariantName, 'must be letters, digits, ".", "_" and "-", starting with a letter or digit'),
        (shapes.PullRequest, "must look like owner/repo#123"),
        (
            shapes.RepoPlace,
            "must be a URL or an absolute path; a copy of your own is named with PATCHCTL_MIRROR='URL=/path'",
        ),
        (shapes.CMakeName, 'must be letters, digits and "_", as CMake names variables'),
        (shapes.Place, "must be names of keys with dots between them: timings.draft_n"),
        (shapes.RelativePath, 'must be a path inside the source tree: not starting with "/", without ".."'),
    )
} | {
    r"^/": 'must start with "/"',
    r"^[A-Za-z0-9][A-Za-z0-9._+-]*$": 'must be letters, digits, ".", "_", "+" and "-", starting with a letter or digit',
    r"^\d{4}-\d{2}-\d{2}$": "must be a date like 2026-05-31",
}

KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": 'a mapping of "key: value"',
    "model_type": 'a mapping of "key: value"',
}

SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "string_pattern_mismatch": lambda ctx: PATTERNS.get(ctx["pattern"], f"must match {ctx['pattern']}"),
    "string_too_short": lambda _: "must not be empty",
    "too_short": lambda _: "must not be empty",
    "string_too_long": lambda ctx: f"must be at most {ctx['max_length']} characters",
    "greater_than": lambda ctx: f"must be more than {ctx['gt']:g}",
    "less_than": lambda ctx: f"must be less than {ctx['lt']:g}",
    "less_than_equal": lambda ctx: f"must be at most {ctx['le']:g}",
    "literal_error": lambda ctx: f"must be {ctx['expected']}".replace("'", '"'),
    "finite_number": lambda _: "must be a finite number",
    "int_from_float": lambda _: "must be a whole number",
    "value_error": lambda ctx: f"{ctx['error']}",
}


def validate(document: Document, model: type[M]) -> M:
    """Return what ``document`` holds as ``model``.

    Raises InvalidError with everything wrong in the file, each at its line and column.
    """
    if isinstance(document.root, Scalar) and document.root.value is None and not document.problems:
        needed = [_written(name, field) for name, field in model.model_fields.items() if field.is_required()]
        raise InvalidError([document.problem((), f"is empty; it needs {', '.join(needed)}")])
    problems: list[Problem] = []
    data = plain(document.root)
    try:
        made = model.model_validate(data)
    except ValidationError as error:
        made = None
        problems += _problems(document, model, error.errors(include_url=False))
    problems += _python_names(document, model, data)
    if problems or document.problems or made is None:
        # What is wrong with the structure (an alias, say) explains what the shape finds at the same place.
        known = {(problem.line, problem.column) for problem in document.problems}
        follow = {problem for problem in problems if (problem.line, problem.column) not in known}
        raise InvalidError(sorted({*document.problems, *follow}))
    return made


def _written(name: str, field: Any) -> str:
    return field.alias or name


def _python_names(document: Document, model: type[BaseModel], data: Any) -> list[Problem]:
    """Return problems for keys that only Python calls so (``schema_version`` for ``schema``)."""
    names = [name for name, field in model.model_fields.items() if field.alias and field.alias != name]
    return [
        document.problem((name,), f'unknown key "{name}"; did you mean "{model.model_fields[name].alias}"?', key=True)
        for name in names
        if isinstance(data, dict) and name in data
    ]


# --- one error of pydantic, in our words ----------------------------------------------------------------------------


def _problems(document: Document, model: type[BaseModel], errors: list[ErrorDetails]) -> list[Problem]:
    unions: dict[Loc, dict[str, list[ErrorDetails]]] = {}
    problems = []
    for error in errors:
        where, tag = _place(document, error)
        if tag:
            unions.setdefault(where, {}).setdefault(tag, []).append(error)
        else:
            problems.append(_problem(document, model, error, error["loc"]))
    for where, branches in unions.items():
        problems += _collapsed(document, model, where, branches)
    return problems


def _place(document: Document, error: ErrorDetails) -> tuple[Loc, str]:
    """Return the place of an error up to the first step that names no value but a branch of a union, and that step."""
    node: object = document.root
    for at, step in enumerate(error["loc"]):
        if isinstance(node, Entries) and step in node.nodes:
            node = node.nodes[str(step)][1]
        elif isinstance(node, Items) and isinstance(step, int):
            node = node.nodes[step]
        elif step == "[key]" or (error["type"] == "missing" and at == len(error["loc"]) - 1):
            break
        else:
            return error["loc"][:at], str(step)
    return error["loc"], ""


def _collapsed(
    document: Document, model: type[BaseModel], where: Loc, branches: dict[str, list[ErrorDetails]]
) -> list[Problem]:
    """Return the errors of the branch that was meant; when none fits, one sentence that names what would."""
    meant = {tag: errors for tag, errors in branches.items() if not _other_kind(errors, where)}
    if not meant:
        given = {errors[0]["type"] for errors in branches.values()}
        given -= {"int_type"} if "float_type" in given else set()
        kinds = [words for kind, words in KINDS.items() if kind in given]
        listed = " or ".join(filter(None, [", ".join(kinds[:-1]), kinds[-1]]))
        return [document.problem(where, f"{_name(where)} must be {listed}{_instead(document, where, listed)}")]
    after = len(where) + 1
    return [
        _problem(document, model, error, (*where, *error["loc"][after:]))
        for errors in meant.values()
        for error in errors
    ]


def _other_kind(errors: list[ErrorDetails], where: Loc) -> bool:
    return len(errors) == 1 and errors[0]["type"] in KINDS and len(errors[0]["loc"]) == len(where) + 1


def _problem(document: Document, model: type[BaseModel], error: ErrorDetails, loc: Loc) -> Problem:
    kind, ctx = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        near = closest(str(loc[-1]), _keys(model, loc[:-1]))
        return document.problem(loc, f'unknown key "{loc[-1]}"{near}', key=True)
    if kind == "missing":
        inside = f" in {_name(loc[:-1])}" if len(loc) > 1 else ""
        return document.problem(loc[:-1], f'missing key "{loc[-1]}"{inside}', key=True)
    if loc and loc[-1] == "[key]":
        sentence = _sentence(document, kind, ctx, loc, error["msg"])
        return document.problem(loc[:-1], f'the key "{loc[-2]}" {sentence}', key=True)
    sentence = _sentence(document, kind, ctx, loc, error["msg"])
    return document.problem(loc, sentence if kind == "value_error" else f"{_name(loc)} {sentence}")


def _sentence(document: Document, kind: str, ctx: dict[str, Any], loc: Loc, otherwise: str) -> str:
    if kind in KINDS:
        return f"must be {KINDS[kind]}{_instead(document, loc, KINDS[kind])}"
    if kind not in SENTENCES:
        return otherwise[:1].lower() + otherwise[1:]
    node = document.node(loc)
    given = node.text if isinstance(node, Scalar) else ""
    if ctx.get("pattern") == typing.get_args(shapes.FullOid)[1].pattern and len(given) != 40:
        return f"must be all 40 hex digits; this has {len(given)}"
    near = closest(given, re.findall(r"'([^']+)'", ctx["expected"])) if kind == "literal_error" else ""
    return SENTENCES[kind](ctx) + near


def _instead(document: Document, loc: Loc, wanted: str) -> str:
    """Say what stands there when that helps: nothing at all, or a number that was meant as text."""
    node = document.node(loc)
    if not isinstance(node, Scalar):
        return ", not a list" if isinstance(node, Items) else ", not a mapping" if node else ""
    if node.value is None:
        return "; it has no value"
    if not isinstance(node.value, str):
        return f", not {node.text}" + (f'; as text it is written "{node.text}"' if wanted.startswith("text") else "")
    return f', not "{node.text}"' if len(node.text) <= 40 and "\n" not in node.text else ""


def _name(loc: Loc) -> str:
    """Return ``build.targets[0]``; the file itself is called so."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).lstrip(".")
    return text or "the file"


def _keys(model: type[BaseModel], loc: Loc) -> list[str]:
    """Return the keys that the shape at ``loc`` knows."""
    candidates: set[type[BaseModel]] = {model}
    for step in loc:
        for candidate in list(candidates):
            for name, field in candidate.model_fields.items():
                if step == _written(name, field):
                    candidates = _models(field.annotation)
    return [_written(name, field) for candidate in candidates for name, field in candidate.model_fields.items()]


def _models(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for inner in typing.get_args(annotation) for found in _models(inner)}
