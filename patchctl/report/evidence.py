"""What a release claims, beside its stack and committed: tree, keys, outcomes, results, dates."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from patchctl.files import write_atomic
from patchctl.smoke.plan import is_for
from patchctl.smoke.result import proven, why_unproven
from patchctl.smoke.runner import definition_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from patchctl.series.source import Source
    from patchctl.smoke.plan import Case
    from patchctl.smoke.result import Result

LISTED = 3  # names in one line
RECORDED = ("test", "definition", "patch", "result", "detail")  # of a result; a log is a place on one machine
# What is seen beside a variant's tests, and by what a later sighting takes the place of an earlier one.
SIGHTINGS = {"probes": ("patch", "variant"), "limits": ("variant", "limit")}


def evidence_path(stack: Path) -> Path:
    """Return where the evidence of a stack lies: beside it."""
    return stack.with_suffix(".evidence.json")


def read_evidence(stack: Path) -> dict[str, Any]:
    """Return the evidence of a stack, empty when there is none that can be read."""
    try:
        data = json.loads(evidence_path(stack).read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def record(
    stack: Path,
    source: Source,
    built: dict[str, dict[str, Any]],
    results: Sequence[Result],
    *,
    hardware: Mapping[str, Any] | None = None,
    known: Collection[str] | None = None,
    failed: Collection[str] = (),
) -> bool:
    """Write what was built (variant -> its build info) and how its tests ended; return whether the file changed.

    Claims about another tree go, and those about variants that ``failed`` or are not among the ``known`` ones; claims
    that are the same keep their date, so that a repeated build changes nothing.
    What was brought home from other machines stays while the variant's build is the same, also that of a variant which
    was given on the command line.
    """
    if not built and not read_evidence(stack):
        return False
    old = {
        name: claim
        for name, claim in _claims_of(stack, source).items()
        if name not in failed and (known is None or name in known or "elsewhere" in claim)
    }
    made = {name: _variant(info, [it for it in results if it.variant == name]) for name, info in built.items()}
    for claim in made.values():
        claim.update({"hardware": _plain(hardware)} if hardware else {})
    return _write(stack, source, {**old, **{name: _dated(claim, old.get(name)) for name, claim in made.items()}})


def bring(stack: Path, source: Source, variant: str, info: dict[str, Any], entry: dict[str, Any]) -> bool:
    """Write what the tests of a package showed elsewhere (``entry``: hardware, package, tests, date).

    Returns whether the file changed. A later result of the same hardware takes the place of the earlier one; claims
    about another build of the variant go.
    """
    old = _claims_of(stack, source)
    claim = old.get(variant)
    if claim is None or claim["build_key"] != info["build_key"]:
        claim = _variant(info, [])
    others = [it for it in claim.get("elsewhere", []) if it["hardware"] != entry["hardware"]]
    elsewhere = sorted([*others, entry], key=lambda it: str(it["hardware"]))
    return _write(stack, source, {**old, variant: _dated({**claim, "elsewhere": elsewhere}, old.get(variant))})


def record_sightings(
    stack: Path, source: Source, kind: str, rows: Iterable[Mapping[str, Any]], *, hardware: Mapping[str, Any]
) -> bool:
    """Write what was seen of ``source`` beside its tests, one of SIGHTINGS; return whether the file changed.

    ``probes``: how a patch's probe ended on the base (``unpatched``) and with the patch (``patched``). ``limits``: what
    a bench against the base showed. A row that says the same as the one it replaces keeps its date.
    """
    names = SIGHTINGS[kind]
    sightings = _sightings_of(stack, source)
    known = {tuple(row[name] for name in names): row for row in sightings.get(kind, [])}
    for row in rows:
        at = tuple(row[name] for name in names)
        known[at] = _dated_row({**row, "hardware": _plain(hardware)}, known.get(at))
    sightings[kind] = [known[at] for at in sorted(known)]
    return _write(stack, source, _claims_of(stack, source), sightings)


def _dated_row(row: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    same = {"date": None, "hardware": None}
    return old if old is not None and {**old, **same} == {**row, **same} else {**row, "date": _now()}


def _sightings_of(stack: Path, source: Source) -> dict[str, Any]:
    """Return what was seen of the very tree of ``source``, by kind."""
    old = read_evidence(stack)
    return {kind: old[kind] for kind in SIGHTINGS if kind in old} if _is_of(old, source) else {}


def _is_of(evidence: Mapping[str, Any], source: Source) -> bool:
    return bool(evidence.get("result") == {"commit": source.commit, "tree": source.tree})


def held_against(claim: Mapping[str, Any], variant: str, cases: Iterable[Case]) -> dict[str, Any]:
    """Return a claim as it stands with the tests that the stack has now: what was proven without them is not.

    A test whose definition or scripts changed since is another test: that the old one passed is left out.
    """
    named = {case.test.name: case for case in cases if is_for(case.test, variant, claim["architectures"])}
    wanted = {(name, definition_key(case)) for name, case in named.items()}
    places = [claim["tests"], *(it["tests"] for it in claim.get("elsewhere", []))]
    tried = [set(map(_what, tests)) for tests in places if tests]

    def standing(tests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [it for it in tests if it.get("result") != "pass" or it["test"] not in named or _what(it) in wanted]

    now = {**claim, "tests": standing(claim["tests"])}
    if "elsewhere" in claim:
        now["elsewhere"] = [{**it, "tests": standing(it["tests"])} for it in claim["elsewhere"]]
    untried = min((wanted - done for done in tried), key=len, default=wanted)
    if not claim["proven"] or not untried:
        return now
    count, names = len(untried), sorted(name for name, _ in untried)
    listed = ", ".join([*names[:LISTED], *(["…"] if count > LISTED else [])])
    why = f"{count} test{'' if count == 1 else 's'} of the stack, as {'it is' if count == 1 else 'they are'} now, never"
    return {**now, "proven": False, "why": f"{why} ran on it: {listed}"}


def _what(test: Mapping[str, Any]) -> tuple[str, str | None]:
    return test["test"], test.get("definition")


def _claims_of(stack: Path, source: Source) -> dict[str, Any]:
    """Return what is claimed of each variant of the very tree of ``source``."""
    old = read_evidence(stack)
    claims: dict[str, Any] = old.get("variants", {})
    return claims if _is_of(old, source) else {}


def _write(stack: Path, source: Source, variants: dict[str, Any], sightings: Mapping[str, Any] | None = None) -> bool:
    new = {
        "schema_version": 1,
        "release": source.release,
        "identity": source.identity,
        "base": {"commit": source.base, "build": source.build_number},
        "result": {"commit": source.commit, "tree": source.tree},
        "patches": [vars(patch) for patch in source.patches],
        "variants": dict(sorted(variants.items())),
        **(_sightings_of(stack, source) if sightings is None else sightings),
    }
    if new == read_evidence(stack):
        return False
    write_atomic(evidence_path(stack), json.dumps(new, indent=2, ensure_ascii=False).encode() + b"\n")
    return True


def _plain(value: Any) -> Any:
    """Return dataclasses and tuples as what JSON gives back."""
    return json.loads(json.dumps(value, default=vars))


def _variant(info: dict[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    return {
        "build_key": info["build_key"],
        "toolchain": info["toolchain"],
        "architectures": info["architectures"],
        "proven": proven(results),
        "why": why_unproven(results),
        "tests": [{name: getattr(it, name) for name in RECORDED} for it in results],
    }


def _dated(claim: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    """Return the claim with everything that was seen of that build, and the date since when it stands."""
    if old is not None and old["build_key"] == claim["build_key"] and "elsewhere" in old:
        claim = {"elsewhere": old["elsewhere"], **claim}
    claim = {**claim, **_verdict(claim)}
    # Another machine that sees the same is no change.
    same = {"date": None, "hardware": None}
    if old is not None and {**old, **same} == {**claim, **same}:
        return old
    return {**claim, "date": _now()}


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _verdict(claim: dict[str, Any]) -> dict[str, Any]:
    """Return whether the build is proven: somewhere all its tests passed, and nowhere one failed."""
    places = [claim["tests"], *(it["tests"] for it in claim.get("elsewhere", []))]
    if any(it["result"] in {"fail", "error"} for tests in places for it in tests):
        failed = next(it for tests in places for it in tests if it["result"] in {"fail", "error"})
        own = claim["why"] if claim["tests"] else ""
        return {"proven": False, "why": own or f"{failed['test']}: {failed['result']}"}
    if any(tests and all(it["result"] == "pass" for it in tests) for tests in places):
        return {"proven": True, "why": ""}
    return {"proven": False, "why": claim["why"]}
