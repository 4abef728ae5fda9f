"""Make ``schema.graphql`` and ``pull.schema.json`` beside this file from GitHub's own schemas, cut to what is asked.

    npm pack @octokit/graphql-schema @octokit/openapi     # both MIT; unpack each
    python -m tests.upstream.github.trim GRAPHQL/schema.graphql OPENAPI/generated/api.github.com.json

Run it when the query asks for something new: what is not in the schema here cannot be asked or served.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphql import (
    GraphQLInterfaceType,
    GraphQLUnionType,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    is_input_object_type,
    is_interface_type,
    is_object_type,
    is_specified_scalar_type,
    parse,
    print_type,
    visit,
)

from patchctl.upstream.github.graphql import question
from patchctl.upstream.pull import PullName

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graphql import GraphQLSchema

HERE = Path(__file__).parent
NOTE = "from npm {package} {version} (MIT, (c) Octokit contributors), cut to what is asked by trim.py"
SMALL = 5  # members up to which a union keeps those that the query does not name
# What the service sends for a deleted fork, whatever its description says.
REALLY_NULL = (("head", "repo"), ("head", "user"), ("head", "label"))


class _Used(Visitor):
    def __init__(self, info: TypeInfo) -> None:
        super().__init__()
        self.info = info
        self.fields: dict[str, set[str]] = {}
        self.types: dict[str, Any] = {}

    def enter_field(self, *_: Any) -> None:
        parent, field = self.info.get_parent_type(), self.info.get_field_def()
        if parent is None or field is None:
            raise ValueError("the query asks for something that GitHub does not have")
        self.types[parent.name] = parent
        named = get_named_type(field.type)
        self.types[named.name] = named
        self.types |= {get_named_type(arg.type).name: get_named_type(arg.type) for arg in field.args.values()}
        own = {name for name, other in parent.fields.items() if other is field} if hasattr(parent, "fields") else set()
        self.fields.setdefault(parent.name, set()).update(own)


def trimmed_graphql(source: str) -> str:
    """Return the part of GitHub's schema that patchctl's query reaches."""
    schema = build_schema(source, assume_valid=True, assume_valid_sdl=True)
    query = parse(question([PullName("o/n", 1)])["query"])
    info = TypeInfo(schema)
    used = _Used(info)
    visit(query, TypeInfoVisitor(info, used))
    _close(schema, used)
    for kind in used.types.values():
        if kind.name in used.fields:
            kind.fields = {name: field for name, field in kind.fields.items() if name in used.fields[kind.name]}
            kind.interfaces = tuple(one for one in kind.interfaces if one.name in used.types)
    kinds = [kind for kind in used.types.values() if not is_specified_scalar_type(kind)]
    for kind in kinds:
        _without_words(kind)
    return "\n\n".join(print_type(kind) for kind in sorted(kinds, key=lambda kind: kind.name))


def _close(schema: GraphQLSchema, used: _Used) -> None:
    """Add members of unions and the types of arguments; a type nothing is asked of keeps its id."""
    for kind in list(used.types.values()):
        members: Iterable[Any] = ()
        if isinstance(kind, GraphQLInterfaceType):
            members = schema.get_possible_types(kind)[:SMALL]
            used.fields |= {one.name: used.fields.get(one.name, set()) | used.fields[kind.name] for one in members}
        elif isinstance(kind, GraphQLUnionType):
            few = len(kind.types) <= SMALL
            members = kind.types = tuple(one for one in kind.types if few or one.name in used.types)
        elif is_input_object_type(kind):
            members = [get_named_type(field.type) for field in kind.fields.values()]
        used.types |= {one.name: one for one in members}
    for kind in list(used.types.values()):
        if is_object_type(kind) or is_interface_type(kind):
            asked = used.fields.setdefault(kind.name, {"id"})
            named = [get_named_type(kind.fields[field].type) for field in asked]
            used.types |= {one.name: used.types.get(one.name, one) for one in named}


def _without_words(kind: Any) -> None:
    kind.description = None
    for field in getattr(kind, "fields", {}).values():
        field.description = None
        for arg in getattr(field, "args", {}).values():
            arg.description = None
    for value in getattr(kind, "values", {}).values():
        value.description = value.deprecation_reason = None


def trimmed_rest(api: dict[str, Any]) -> dict[str, Any]:
    """Return what ``GET /repos/{owner}/{repo}/pulls/{number}`` answers, as one JSON schema."""
    schemas = api["components"]["schemas"]
    for outer, inner in REALLY_NULL:
        place = schemas["pull-request"]["properties"][outer]["properties"]
        place[inner] = {"anyOf": [place[inner], {"type": "null"}]}
    wanted, found = ["pull-request"], {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _plain(schemas[name])
            wanted += [ref.rsplit("/", 1)[-1] for ref in _refs(found[name])]
    return {**found.pop("pull-request"), "$defs": dict(sorted(found.items()))}


def _refs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for inner in value.values() for ref in _refs(inner)]
    return [ref for inner in value for ref in _refs(inner)] if isinstance(value, list) else []


def _plain(value: Any) -> Any:
    """Return OpenAPI 3.0 as JSON schema: ``nullable`` said as a type, examples and prose left out."""
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    words = {"description", "example", "examples", "title", "nullable", "deprecated", "externalDocs"}
    # Names of properties are not words of the schema.
    made = {
        key: {name: _plain(inner) for name, inner in item.items()} if key == "properties" else _plain(item)
        for key, item in value.items()
        if key not in words or not isinstance(item, (str, bool, int, list))
    }
    if isinstance(made.get("$ref"), str):
        made["$ref"] = made["$ref"].replace("#/components/schemas/", "#/$defs/")
    if value.get("nullable") is True:
        return {"anyOf": [made, {"type": "null"}]}
    return made


def main(graphql: Path, openapi: Path) -> None:
    """Write both files."""
    sources = ((graphql, "@octokit/graphql-schema"), (openapi.parent, "@octokit/openapi"))
    notes = [
        NOTE.format(package=package, version=json.loads((path.parent / "package.json").read_text())["version"])
        for path, package in sources
    ]
    (HERE / "schema.graphql").write_text(f"# {notes[0]}\n\n{trimmed_graphql(graphql.read_text())}\n")
    rest = {"$comment": notes[1], **trimmed_rest(json.loads(openapi.read_text()))}
    (HERE / "pull.schema.json").write_text(json.dumps(rest, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
