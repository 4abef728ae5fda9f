"""The shapes of what people write: stacks, patch pages, tests; and of the lock that patchctl writes.

Each model refuses unknown keys. Where a value stands in its file is not kept here: ``manifest.document`` does that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

# Steps, none of them "..", no slash in front; pydantic's regular expressions have no look-ahead.
STEP = r"(?:\.|\.\.[^/\x00-\x1f]+|\.[^./\x00-\x1f][^/\x00-\x1f]*|[^./\x00-\x1f][^/\x00-\x1f]*)"
RELATIVE = rf"^{STEP}(?:/+{STEP})*/*$"

FullOid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
VariantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
PullRequest = Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+#[1-9][0-9]*$")]
CMakeValue = bool | int | float | str
CMakeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
RelativePath = Annotated[str, StringConstraints(pattern=RELATIVE)]


class Model(BaseModel):
    """The base of all shapes: unknown keys are errors, values never change, numbers are not strings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True, allow_inf_nan=False)


class Upstream(Model):
    """The repository patched and the pinned commit, all 40 digits of it."""

    repo: Annotated[str, StringConstraints(min_length=1)]
    commit: FullOid


class Variant(Model):
    """One build configuration: CMake settings on top of the stack's own."""

    cmake: dict[CMakeName, CMakeValue] = Field(default_factory=dict)


class Build(Model):
    """What is built and how: targets, files installed beside them, CMake settings, variants."""

    targets: Annotated[list[str], Field(min_length=1)]
    files: list[RelativePath] = Field(default_factory=list)
    cmake: dict[CMakeName, CMakeValue] = Field(default_factory=dict)
    variants: Annotated[dict[VariantName, Variant], Field(min_length=1)]


class Policy(Model):
    """Paths that the tree policy would refuse and that this stack means."""

    allow: list[RelativePath] = Field(default_factory=list)


class Command(Model):
    """A program run to its end: words, expected exit status, regular expressions its output must match."""

    run: Annotated[list[str], Field(min_length=1)]
    exit: int = 0
    output: str | None = None
    env: dict[str, str] = Field(default_factory=dict)


class Request(Model):
    """One HTTP request to the server under test and what the answer must be; ``json`` is matched as a subset."""

    path: Annotated[str, StringConstraints(pattern=r"^/")]
    method: Literal["GET", "POST"] = "GET"
    body: dict[str, Any] | None = None
    status: int = 200
    answer: dict[str, Any] | None = None
    text: str | None = None


class Http(Model):
    """A server started on a free loopback port, asked in order, stopped for certain."""

    server: Annotated[str, StringConstraints(min_length=1)]
    args: list[str] = Field(default_factory=list)
    ready: Annotated[str, StringConstraints(pattern=r"^/")] = "/health"
    requests: Annotated[list[Request], Field(min_length=1)]


class Test(Model):
    """One smoke test. ``expect: fail`` with a reason marks a known defect; passing unexpectedly wants attention."""

    __test__ = False  # pytest collects classes by this name

    name: Name
    command: Command | None = None
    http: Http | None = None
    variants: list[VariantName] | None = None
    timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0
    expect: Literal["pass", "fail"] = "pass"
    reason: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Test:
        if (self.command is None) == (self.http is None):
            raise ValueError("a test has exactly one of: command, http")
        if self.expect == "fail" and not self.reason:
            raise ValueError("expect: fail needs a reason")
        return self


class Stack(Model):
    """A release manifest: base, ordered patch ids, build variants, tests."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    release: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=80)]
    upstream: Upstream
    patches: list[Name] = Field(default_factory=list)
    build: Build
    tests: list[Name | Test] = Field(default_factory=list)
    policy: Policy = Policy()


class Origin(Model):
    """Where a patch came from: a pull request, the head that was reviewed, the commit."""

    pr: PullRequest | None = None
    head: FullOid | None = None
    commit: FullOid | None = None


class DropWhen(Model):
    """The trigger that retires a patch: a commit in the base, a pull request landed, the probe passing without it."""

    commit: FullOid | None = None
    pr: PullRequest | None = None
    probe: bool | None = None


class ReviewAfter(Model):
    """When a person should look at the patch again."""

    build: Annotated[int, Field(gt=0)] | None = None
    date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None


class FromCommit(Model):
    """A patch by reference: a commit on upstream's own branch."""

    commit: FullOid


# What a check warns of about a patch, and a page can acknowledge.
WarningKind = Literal["requires", "deletes-upstream", "double", "same-hunk", "superset"]


class Page(Model):
    """The front matter of ``patches/<id>/README.md``; what can be derived is never typed."""

    title: Annotated[str, StringConstraints(min_length=1)]
    upstream: Origin | None = None
    drop_when: DropWhen | None = None
    review_after: ReviewAfter | None = None
    requires: list[Name] = Field(default_factory=list)
    issues: list[str] = Field(default_factory=list)
    acknowledged: list[WarningKind] = Field(default_factory=list)
    from_: Annotated[FromCommit | None, Field(alias="from")] = None


class ProbeFile(Model):
    """``patches/<id>/probe.yaml``: the patch's own test, which fails without the patch and passes with it."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    command: Command | None = None
    http: Http | None = None
    timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0

    @model_validator(mode="after")
    def _one_kind(self) -> ProbeFile:
        if (self.command is None) == (self.http is None):
            raise ValueError("a probe has exactly one of: command, http")
        return self

    def test(self, patch: str) -> Test:
        """Return the probe as a smoke test named after its patch."""
        return Test(name=f"probe-{patch}", command=self.command, http=self.http, timeout=self.timeout)


class LockedBase(Model):
    """The base as resolved: commit, build number, tree."""

    commit: FullOid
    build: int
    tree: FullOid


class LockedPatch(Model):
    """One patch as resolved: its revision's file (None for a patch by reference), hashes, resulting commit."""

    id: Name
    revision: str | None
    sha256: str
    patch_id: str
    commit: FullOid | None


class LockedResult(Model):
    """The commit and tree of the whole stack."""

    commit: FullOid
    tree: FullOid


class Lock(Model):
    """What a stack resolved to."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    base: LockedBase
    patches: list[LockedPatch]
    result: LockedResult
