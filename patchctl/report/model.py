"""What a report says, as plain data: put together from evidence, build info and logs. Every format is made of this."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from patchctl.errors import PatchctlError
from patchctl.report import logs
from patchctl.report.answers import answers
from patchctl.report.evidence import held_against, read_evidence
from patchctl.report.probes import not_shown, probes_of
from patchctl.smoke.plan import stack_cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from patchctl.manifest.workspace import StackFile, Workspace

GONE = ("fail", "error")
STEPS = ("configure", "gate", "compile")


@dataclass(frozen=True)
class Findings:
    """What was found about a stack beside what lies in its workspace, each in the form of that command's ``--json``.

    ``check``: how each patch applies; ``status``: what upstream did (one entry of its ``stacks``); ``forecast``,
    ``bisects``, ``benches``: what is remembered of them. ``notices``: what could not be found out, and why.
    """

    check: dict[str, Any]
    status: dict[str, Any] | None = None
    forecast: dict[str, Any] | None = None
    bisects: Sequence[dict[str, Any]] = ()
    benches: Sequence[dict[str, Any]] = ()
    notices: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Notes:
    """What tests and builds of one tree left behind here: the folder of their logs, and how long each took."""

    folder: Path
    seconds: Callable[[str], float | None]


def make_report(
    workspace: Workspace,
    stack: StackFile,
    found: Findings,
    cache: Path,
    seconds: Callable[[str], float | None] = lambda _log: None,
) -> dict[str, Any]:
    """Return the whole report of a stack; reads its evidence, its pages, its builds and their logs, changes nothing.

    ``seconds`` is asked how long the test with a log took.
    """
    notes = Notes(logs.folder_of(cache, stack.stack.release, (found.check["result"] or {}).get("tree") or ""), seconds)
    release = stack.stack.release
    evidence = read_evidence(stack.path)
    tree = (found.check["result"] or {}).get("tree")
    notices = list(found.notices)
    if evidence and evidence.get("result") != found.check["result"]:
        notices.append("The evidence beside the stack is about another tree than the stack gives now; it is left out.")
        evidence = {}
    claims = _claims(workspace, stack, evidence, notices)
    names = list(dict.fromkeys([*stack.stack.build.variants, *claims]))
    variants = [_variant(name, claims.get(name), workspace.out_folder / release, tree, notes) for name in names]
    report: dict[str, Any] = {
        "schema_version": 1,
        "stack": release,
        "repo": stack.stack.upstream.repo,
        "base": found.check["base"],
        "result": found.check["result"],
        "identity": f"{found.check['base']['commit'][:9]}-{tree[:9]}" if tree else None,
        "notices": notices,
        "patches": [
            _patch(workspace, row, found.status, probes_of(workspace, row["id"], variants, evidence.get("probes", [])))
            for row in found.check["patches"]
        ],
        "variants": variants,
        "benches": list(found.benches),
        "limits": evidence.get("limits", []),
        "forecast": found.forecast,
        "bisects": list(found.bisects),
    }
    notices += _wanted_back(found)
    notices += [said for patch in report["patches"] if (said := not_shown(patch["id"], patch["probes"]))]
    return {**report, "answers": answers(report)}


def _wanted_back(found: Findings) -> list[str]:
    """Return what upstream's state says of patches that the stack does not list: it took back what let them retire."""
    listed = {row["id"] for row in found.check["patches"]}
    rows = found.status["patches"] if found.status else []
    return [f"{row['id']}: {row['reason']}" for row in rows if row["id"] not in listed]


def _claims(workspace: Workspace, stack: StackFile, evidence: Mapping[str, Any], notices: list[str]) -> dict[str, Any]:
    """Return what is claimed of each variant, held against the stack's tests; where these are broken, with a notice."""
    claims = evidence.get("variants", {})
    try:
        cases = stack_cases(workspace, stack)
    except PatchctlError as error:
        notices.append(f"The stack's tests cannot be read, what is shown is what was recorded: {error.message}")
        return dict(claims)
    return {name: held_against(claim, name, cases) for name, claim in claims.items()}


def check_from_files(stack: StackFile) -> dict[str, Any]:
    """Return what evidence and stack say of how the patches apply, for when they cannot be judged here."""
    said = read_evidence(stack.path)
    same = said.get("base", {}).get("commit") == stack.stack.upstream.commit
    known = {patch["id"]: patch for patch in said.get("patches", [])} if same else {}
    blank = {"revision": None, "sha256": "", "outcome": "unknown"}
    return {
        "base": {"commit": stack.stack.upstream.commit, "build": said["base"]["build"] if same else "?"},
        "result": said.get("result") if list(known) == list(stack.stack.patches) else None,
        "patches": [
            {"id": name, **blank, **known.get(name, {}), "detail": "", "conflicts": [], "refused": []}
            for name in stack.stack.patches
        ],
    }


def _patch(
    workspace: Workspace, row: dict[str, Any], status: dict[str, Any] | None, probes: list[dict[str, Any]]
) -> dict[str, Any]:
    page = workspace.load_page(row["id"])
    known = next((one for one in (status or {}).get("patches", []) if one["id"] == row["id"]), None)
    declared = page.page.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return {
        **row,
        "title": page.page.title,
        "page": {name: value for name, value in declared.items() if name != "title"},
        "rationale": page.body.strip(),
        "upstream": known,
        "probes": probes,
    }


def _variant(name: str, claim: Mapping[str, Any] | None, out: Path, tree: str | None, notes: Notes) -> dict[str, Any]:
    folder = out / name
    info = _info(folder)
    built = info if info.get("tree") == tree else {}
    places = list(_places(claim, notes, f"{name}.tests")) if claim else []
    return {
        "name": name,
        **_state(claim, info, built=bool(built)),
        "date": (claim or {}).get("date"),
        "architectures": (claim or built).get("architectures", []),
        "toolchain": {key: said for key, said in (claim or built).get("toolchain", {}).items() if key != "processor"},
        "build_key": (claim or built).get("build_key"),
        "durations": built.get("durations", {}),
        "bytes": _size(folder, built) if built else None,
        "places": places,
        "logs": [log for step in STEPS if (log := logs.read_log(notes.folder / f"{name}.{step}.log")) is not None],
    }


def _info(folder: Path) -> dict[str, Any]:
    """Return what the build info of an installed variant says, empty when none is there that can be read."""
    try:
        data = json.loads((folder / "build-info.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _state(claim: Mapping[str, Any] | None, info: Mapping[str, Any], *, built: bool) -> dict[str, str]:
    if claim is not None:
        return {"state": "proven" if claim["proven"] else "unproven", "why": claim["why"]}
    if built:
        return {"state": "unproven", "why": "its tests were never recorded"}
    return {"state": "not built", "why": "what is built is of another tree" if info else ""}


def _size(folder: Path, info: Mapping[str, Any]) -> int:
    """Return the bytes of an install; a link is listed with the size of the file it leads to, and counts nothing."""
    files = info.get("files", [])
    return sum(int(file["size"]) for file in files if not (folder / file["path"]).is_symlink())


def _places(claim: Mapping[str, Any], notes: Notes, folder: str) -> Iterable[dict[str, Any]]:
    """Return each machine that ran the tests, the one whose logs lie here first."""
    if claim["tests"]:
        yield {
            "hardware": _hardware(claim.get("hardware")),
            "date": claim["date"],
            "tests": [_test(it, notes, notes.folder / folder) for it in claim["tests"]],
        }
    for entry in claim.get("elsewhere", []):
        yield {
            "hardware": _hardware(entry["hardware"]),
            "date": entry["date"],
            "tests": [{**it, "seconds": None, "log": None} for it in entry["tests"]],
        }


def _test(it: Mapping[str, Any], notes: Notes, folder: Path) -> dict[str, Any]:
    path = folder / f"{it['test']}.log"
    return {**it, "seconds": notes.seconds(str(path)), "log": logs.read_log(path, failed=it["result"] in GONE)}


def _hardware(said: Mapping[str, Any] | None) -> str:
    """Return a machine in words: its GPUs, else its processor."""
    if not said:
        return "the machine it was built on"
    gpus = [f"{gpu['name']} ({gpu['capability']})" for gpu in said.get("gpus", [])]
    return ", ".join([*gpus, *filter(None, (said.get("processor"), said.get("machine")))])
