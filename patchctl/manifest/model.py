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
Place = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*$")]


# A path from where somebody stands would be another one for everybody else: a copy of one's own is a mirror.
RepoPlace = Annotated[str, StringConstraints(pattern=r"^(?:/|[A-Za-z0-9][\w.+-]*(?:@[\w.-]+)?:)[^\x00-\x1f]+$")]


class Model(BaseModel):
    """The base of all shapes: unknown keys are errors, values never change, numbers are not strings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True, allow_inf_nan=False)


class Upstream(Model):
    """The repository patched and the pinned commit, all 40 digits of it."""

    repo: RepoPlace
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
    """A server started on a free loopback port, asked in order, stopped for certain.

    ``log`` are regular expressions that each match what it printed, ``no_log`` such that none does.
    """

    server: Annotated[str, StringConstraints(min_length=1)]
    args: list[str] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)
    ready: Annotated[str, StringConstraints(pattern=r"^/")] = "/health"
    requests: Annotated[list[Request], Field(min_length=1)]
    log: list[str] = Field(default_factory=list)
    no_log: list[str] = Field(default_factory=list)


class Run(Model):
    """One of the servers that are compared: what is its own, on top of what all share.

    ``before`` is asked first and not compared; ``requests``, ``same`` and ``nmse`` replace those of all; ``at_once``
    asks all requests at the same time.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=40)]
    args: list[str] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)
    before: list[Request] = Field(default_factory=list)
    at_once: bool = False
    requests: list[Request] | None = None
    same: list[Place] | None = None
    nmse: Annotated[float, Field(gt=0, lt=1)] | None = None
    log: list[str] = Field(default_factory=list)
    no_log: list[str] = Field(default_factory=list)


class Compare(Model):
    """Servers that must answer alike: the places ``same`` of each answer are in every run what they are in the first.

    With ``nmse`` instead, the log-probabilities of the tokens may differ by that normalised mean squared error.
    """

    server: Annotated[str, StringConstraints(min_length=1)]
    args: list[str] = Field(default_factory=list)
    ready: Annotated[str, StringConstraints(pattern=r"^/")] = "/health"
    requests: Annotated[list[Request], Field(min_length=1)]
    runs: Annotated[list[Run], Field(min_length=2)]
    same: list[Place] = Field(default_factory=list)
    nmse: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _comparable(self) -> Compare:
        if bool(self.same) == (self.nmse is not None):
            raise ValueError("a comparison has exactly one of: same, nmse")
        if (any(run.nmse for run in self.runs) and self.nmse is None) or (
            any(run.same for run in self.runs) and not self.same
        ):
            raise ValueError("a run can only replace what the comparison has: same or nmse")
        names = [run.name for run in self.runs]
        if len(set(names)) < len(names):
            raise ValueError("two runs have the same name")
        return self


class Test(Model):
    """One smoke test. ``expect: fail`` with a reason marks a known defect; passing unexpectedly wants attention.

    Without a kind it is the test of that name which comes with patchctl, and says what is expected of it here.
    ``models`` are generated test models, in ``{models}``; ``gpu`` is for variants with code for a GPU only.
    """

    __test__ = False  # pytest collects classes by this name

    name: Name
    command: Command | None = None
    http: Http | None = None
    compare: Compare | None = None
    models: list[Name] = Field(default_factory=list)
    gpu: bool = False
    variants: list[VariantName] | None = None
    timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0
    expect: Literal["pass", "fail"] = "pass"
    reason: str | None = None

    @property
    def general(self) -> bool:
        """Return whether this only says what is expected of a test that comes with patchctl."""
        return self.command is None and self.http is None and self.compare is None

    @model_validator(mode="after")
    def _one_kind(self) -> Test:
        if len(_kinds(self)) > 1 or (self.general and self.expect == "pass"):
            raise ValueError(f"a test has exactly one of: {', '.join(KINDS)}")
        if self.general and (
            self.models or self.gpu or self.variants is not None or "timeout" in self.model_fields_set
        ):
            raise ValueError("what comes with patchctl is changed by expect and reason only")
        if self.expect == "fail" and not self.reason:
            raise ValueError("expect: fail needs a reason")
        return self


KINDS = ("command", "http", "compare")


def _kinds(definition: Test | ProbeFile) -> list[str]:
    return [kind for kind in KINDS if getattr(definition, kind) is not None]


class Limit(Model):
    """What a bench against the base must show: how the stack's median of ``measure`` compares, at the points ``at``.

    ``least`` is the least ratio (stack / base) of what is better when higher, ``most`` the greatest of what is not; the
    whole interval has to keep to it.
    """

    measure: Annotated[str, StringConstraints(min_length=1)]
    at: dict[str, int | str] = Field(default_factory=dict)
    least: Annotated[float, Field(gt=0)] | None = None
    most: Annotated[float, Field(gt=0)] | None = None
    variants: list[VariantName] | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Limit:
        if (self.least is None) == (self.most is None):
            raise ValueError("a limit has exactly one of: least, most")
        return self


class Stack(Model):
    """A release manifest: base, ordered patch ids, build variants, tests, what a bench must show."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    release: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=80)]
    upstream: Upstream
    patches: list[Name] = Field(default_factory=list)
    build: Build
    tests: list[Name | Test] = Field(default_factory=list)
    bench: list[Limit] = Field(default_factory=list)
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


class Retired(Model):
    """That the patch is not needed any more: the build of upstream from which on a base has it, and why.

    ``commit`` is what brought it there, where that is known: once it is taken back the patch is needed again.
    """

    build: Annotated[int, Field(gt=0)]
    commit: FullOid | None = None
    reason: Annotated[str, StringConstraints(min_length=1)]


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
    retired: Retired | None = None


class ProbeFile(Model):
    """``patches/<id>/probe.yaml``: the patch's own test, which fails without the patch and passes with it."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    command: Command | None = None
    http: Http | None = None
    compare: Compare | None = None
    models: list[Name] = Field(default_factory=list)
    gpu: bool = False
    timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0

    @model_validator(mode="after")
    def _one_kind(self) -> ProbeFile:
        if len(_kinds(self)) != 1:
            raise ValueError(f"a probe has exactly one of: {', '.join(KINDS)}")
        return self

    def test(self, patch: str) -> Test:
        """Return the probe as a smoke test named after its patch."""
        shared = {name: getattr(self, name) for name in (*KINDS, "models", "gpu", "timeout")}
        return Test(name=f"probe-{patch}", **shared)


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
