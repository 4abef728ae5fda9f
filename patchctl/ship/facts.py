"""What the manifest of a bundle, of a package and of a package's result say; strict, as they come from elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, StringConstraints, ValidationError

from patchctl.errors import Code, PatchctlError
from patchctl.manifest.model import FullOid, Model, RelativePath, Test, VariantName
from patchctl.series.source import AppliedPatch, Source

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION: Final = 1
BUNDLE: Final = "bundle"
PACKAGE: Final = "package"
RESULT: Final = "package-result"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Release = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=80)]


class PatchFacts(Model):
    """One patch as it went in."""

    id: str
    revision: str | None
    sha256: Sha256
    outcome: str


class SourceFacts(Model):
    """A patched tree: ``series.source.Source`` as data."""

    repo_url: str
    base: FullOid
    build_number: Annotated[int, Field(ge=0)]
    commit: FullOid
    tree: FullOid
    release: Release
    patches: list[PatchFacts]
    touched: list[RelativePath]

    @staticmethod
    def of(source: Source) -> SourceFacts:
        """Return the facts of a source."""
        return SourceFacts(
            **{**vars(source), "patches": [PatchFacts(**vars(it)) for it in source.patches]}
            | {"touched": list(source.touched)}
        )

    def source(self) -> Source:
        """Return the source these are the facts of."""
        patches = tuple(AppliedPatch(**dict(it)) for it in self.patches)
        return Source(**{**dict(self), "patches": patches, "touched": tuple(self.touched)})


class OtherEntry(Model):
    """An entry of the tree that is no file here: left out because no copy has it, a gitlink, an odd mode."""

    path: str
    mode: Annotated[str, StringConstraints(pattern=r"^[0-7]{5,6}$")]
    oid: FullOid


class BundleFacts(Model):
    """A bundle: which stack, which tree, what of it is not here."""

    schema_version: Literal[1]
    kind: Literal["bundle"]
    stack: RelativePath
    source: SourceFacts
    date: int
    recipe: int
    left_out: list[str]
    other_entries: list[OtherEntry]


class CaseFacts(Model):
    """One test of a package: its definition, the folder of its files in the package, the patch whose probe it is."""

    test: Test
    here: RelativePath
    patch: str | None


class PackageFacts(Model):
    """A package: which variant of which tree, what it needs, licences, what was proven, its tests."""

    schema_version: Literal[1]
    kind: Literal["package"]
    variant: VariantName
    source: SourceFacts
    date: int
    build_key: Sha256
    architectures: list[str]
    licences: list[str]
    needs: list[str]
    run_paths_shortened: list[str]
    evidence: dict[str, Any] | None
    cases: list[CaseFacts]


class TestFacts(Model):
    """How one test of a package ended."""

    __test__ = False  # pytest collects classes by this name

    test: str
    definition: Sha256
    patch: str | None
    result: Literal["pass", "fail", "skip", "error"]
    detail: str
    seconds: float


class PackageName(Model):
    """The package that was tested: the name of its file and its SHA-256."""

    name: str
    sha256: Sha256


class ResultFacts(Model):
    """How the tests of a package ended on some machine."""

    schema_version: Literal[1]
    kind: Literal["package-result"]
    package: PackageName
    variant: VariantName
    source: SourceFacts
    build: dict[str, Any]
    hardware: dict[str, Any]
    date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]
    proven: bool
    why: str
    tests: list[TestFacts]


M = TypeVar("M", BundleFacts, PackageFacts, ResultFacts)


def as_json(facts: Model) -> bytes:
    """Return facts as the bytes of their file, the same for the same facts."""
    data = facts.model_dump(mode="json", by_alias=True)
    return json.dumps(data, indent=1, sort_keys=True).encode() + b"\n"


def parse(content: bytes, name: Path, model: type[M], kind: str) -> M:
    """Return the facts that ``content`` states; ``name`` is the file that errors name.

    Raises PatchctlError: exit code 3 for another kind of file or one that cannot be understood, 9 for one that a newer
    patchctl made.
    """
    try:
        data = json.loads(content)
        found, version = data["kind"], int(data["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise PatchctlError(Code.INVALID, f"{name}: its manifest cannot be read ({error}); get it again") from error
    if version > SCHEMA_VERSION:
        hint = "upgrade patchctl"
        raise PatchctlError(Code.ENVIRONMENT, f"{name} was made by a newer patchctl (format {version}); {hint}")
    if found != kind:
        raise PatchctlError(Code.INVALID, f"{name} is a {found}, not a {kind}")
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise PatchctlError(Code.INVALID, f"{name}: its manifest is wrong at {place}: {first['msg']}") from error
