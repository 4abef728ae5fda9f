"""The five questions that patchctl answers of a release, each in a word and a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FAILED = ("conflict", "blocked")


def answers(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return (question, answer, detail) for each: ``answer`` is yes, no, partly or unknown."""
    rows = [
        ("Does it apply?", *_applies(report["patches"])),
        ("Does it build?", *_builds(report["variants"])),
        ("Does it work?", *_works(report["variants"])),
        ("Does upstream still lack it?", *_needed(report["patches"])),
        ("What broke it?", *_broken(report)),
    ]
    return [{"question": question, "answer": answer, "detail": detail} for question, answer, detail in rows]


def _applies(patches: list[dict[str, Any]]) -> tuple[str, str]:
    if not patches:
        return "yes", "there is no patch"
    refused = [patch["id"] for patch in patches if patch.get("refused")]
    if refused:
        return "no", f"the tree policy refuses what {_listed(refused)} adds"
    outcomes = [patch["outcome"] for patch in patches]
    if "unknown" in outcomes:
        return "unknown", "nothing says how the patches apply"
    failed = [patch["id"] for patch in patches if patch["outcome"] in FAILED]
    if failed:
        return "no", f"{len(failed)} of {_count(patches, 'patch', 'patches')}: {_listed(failed)}"
    counts = [f"{outcomes.count(word)} {word}" for word in dict.fromkeys(outcomes)]
    return "yes", f"{_count(patches, 'patch', 'patches')}: {', '.join(counts)}"


def _builds(variants: list[dict[str, Any]]) -> tuple[str, str]:
    built = [it["name"] for it in variants if it["state"] != "not built"]
    others = [it["name"] for it in variants if it["state"] == "not built"]
    if not built:
        return "unknown", "nothing is built"
    return ("partly", f"{_listed(built)}; not built: {_listed(others)}") if others else ("yes", _listed(built))


def _works(variants: list[dict[str, Any]]) -> tuple[str, str]:
    built = [it for it in variants if it["state"] != "not built"]
    proven = [it["name"] for it in built if it["state"] == "proven"]
    failed = [it["name"] for it in built if any(test["result"] in {"fail", "error"} for test in _all_tests(it))]
    if failed:
        return "no", f"tests failed: {_listed(failed)}"
    if not proven:
        return "unknown", "no variant is proven"
    others = [it["name"] for it in variants if it["name"] not in proven]
    word = "partly" if others else "yes"
    return word, f"proven: {_listed(proven)}{f'; unproven: {_listed(others)}' if others else ''}"


def _all_tests(variant: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    return (test for place in variant["places"] for test in place["tests"])


def _needed(patches: list[dict[str, Any]]) -> tuple[str, str]:
    known = {patch["id"]: patch["upstream"]["verdict"] for patch in patches if patch["upstream"]}
    if not known:
        return "unknown" if patches else "yes", "upstream was not asked" if patches else "there is no patch"
    found = {word: [name for name, said in known.items() if said == word] for word in ("retire", "review", "unknown")}
    said = [f"{word}: {_listed(names)}" for word, names in found.items() if names]
    if not said:
        return "yes", f"{_count(known, 'patch', 'patches')} to keep"
    return ("no" if found["retire"] else "partly"), "; ".join(said)


def _broken(report: Mapping[str, Any]) -> tuple[str, str]:
    culprit = next((it["culprit"] for it in report["bisects"] if it["culprit"]), None)
    if culprit is not None:
        return "known", f"{culprit['kind']}: {_listed(culprit['ids'])}"
    causes = [(commit["build"], patch["id"]) for patch in report["patches"] for commit in _causes(patch)]
    if causes:
        build, patch_id = min(causes)
        return "known", f"upstream b{build} is the first that changes what {patch_id} changes"
    if _fails(report):
        return "unknown", "no bisect has found it" if report["bisects"] else "no bisect has looked for it"
    forecast = report["forecast"]
    breaks = [event for event in (forecast or {}).get("events", []) if event["after"] in FAILED and event["patch"]]
    if breaks:
        first = min(breaks, key=lambda event: int(event["build"]))
        return "ahead", f"upstream b{first['build']} is the first to break a patch: {first['patch']}"
    return "nothing", "no bisect was needed" if forecast is None else "and nothing ahead breaks it"


def _causes(patch: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return (commit for one in patch["conflicts"] for commit in one["upstream_commits"])


def _fails(report: Mapping[str, Any]) -> bool:
    return "no" in {_applies(report["patches"])[0], _works(report["variants"])[0]}


def _count(things: Any, one: str, many: str) -> str:
    return f"{len(things)} {one if len(things) == 1 else many}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
