"""Release notes: what is in a package, against which upstream, what was proven where, what is unproven and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patchctl.files import package_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchctl.manifest.workspace import Workspace
    from patchctl.ship.facts import PackageFacts

TEMPLATE = "templates/release-notes.md.j2"


def release_notes(workspace: Workspace, facts: PackageFacts, info: dict[str, Any]) -> bytes:
    """Return the release notes of a package in Markdown; the same for the same facts."""
    import jinja2

    source = facts.source
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown, of what a workspace itself says
    )  # fmt: skip
    text = environment.from_string(package_data(TEMPLATE).read_text(encoding="utf-8")).render(
        name=f"{source.release}-{facts.variant}",
        facts=facts,
        source=source,
        identity=source.source().identity,
        upstream=source.repo_url.removesuffix(".git"),
        patches=[_patch(workspace, it.id, it.outcome) for it in source.patches],
        tools=[said for name, said in sorted(info["toolchain"].items()) if name != "processor"],
        native="processor" in info["toolchain"],
        targets=info["targets"],
        places=list(_places(facts.evidence)),
        proven=bool(facts.evidence and facts.evidence["proven"]),
        why=facts.evidence["why"] if facts.evidence else "it was never tested",
    )
    return text.encode()


def _patch(workspace: Workspace, patch_id: str, outcome: str) -> dict[str, Any]:
    page = workspace.load_page(patch_id).page
    origin = page.upstream
    return {
        "id": patch_id,
        "title": page.title,
        "outcome": outcome,
        "origin": (origin.pr or (origin.commit or "")[:9]) if origin else "",
    }


def _places(claim: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Return each machine that ran the tests: what it is, what passed there, what did not and why."""
    if claim is None:
        return
    if claim["tests"]:
        yield _place(claim.get("hardware"), claim["tests"], "")
    for entry in claim.get("elsewhere", []):
        yield _place(entry["hardware"], entry["tests"], entry["date"])


def _place(hardware: dict[str, Any] | None, tests: list[dict[str, Any]], date: str) -> dict[str, Any]:
    return {
        "hardware": shown_hardware(hardware),
        "date": date,
        "passed": [it["test"] for it in tests if it["result"] == "pass"],
        "others": [{**it, "detail": _line(it["detail"])} for it in tests if it["result"] != "pass"],
    }


def shown_hardware(hardware: dict[str, Any] | None) -> str:
    """Return a machine in words: its GPUs, else its processor."""
    if not hardware:
        return "the machine it was built on"
    gpus = [f"{gpu['name']} ({gpu['capability']})" for gpu in hardware.get("gpus", [])]
    return ", ".join([*gpus, *filter(None, (hardware.get("processor"), hardware.get("machine")))])


def _line(text: str) -> str:
    """Return the first line of a detail, as a cell of a table can hold it."""
    return (text.splitlines() or [""])[0].replace("|", "\\|")
