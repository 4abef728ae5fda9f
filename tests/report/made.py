"""A small workspace with everything a report can show, some of it hostile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from patchctl.manifest.workspace import Workspace
from patchctl.report.model import Findings, make_report

if TYPE_CHECKING:
    from pathlib import Path

BASE, COMMIT, TREE = "b" * 40, "c" * 40, "7" * 40
NASTY = "<script>document.title = 'taken'</script>\"><img src=x onerror=alert(1)> \x1b[31mred @team #12 |`x`"

STACK = f"""\
schema: 1
release: r9
upstream: {{repo: "https://github.com/o/u.git", commit: {BASE}}}
patches: [first-fix, second-fix]
build:
  targets: [t]
  variants: {{cpu: {{}}, sm_89: {{}}, sm_120: {{}}}}
"""
PAGE = f"""\
---
title: "Fix the first thing"
upstream: {{pr: o/u#12}}
drop_when: {{probe: true}}
review_after: {{build: 99}}
---
# first-fix

## Why
Because **it broke**. See [the thread](https://example.org/1) and [this](javascript:alert(1)).
![picture](https://example.org/p.png)

{NASTY.replace(chr(27), "")}
"""
OTHER = '---\ntitle: "Second"\nrequires: [first-fix]\nissues: ["o/u#3"]\n---\n# Second, at length\n\n* one\n* two\n'

CHECK: dict[str, Any] = {
    "base": {"commit": BASE, "build": 9},
    "result": {"commit": COMMIT, "tree": TREE},
    "patches": [
        {"id": "first-fix", "revision": "b9.patch", "sha256": "1" * 64, "outcome": "clean", "detail": "",
         "conflicts": [], "refused": []},
        {"id": "second-fix", "revision": "b9-2.patch", "sha256": "2" * 64, "outcome": "offset",
         "detail": "2 hunks, up to 14 lines", "conflicts": [], "refused": []},
    ],
}  # fmt: skip
STATUS: dict[str, Any] = {
    "patches": [
        {"id": "first-fix", "pr": {"repo": "o/u", "number": 12}, "verdict": "review", "reason": "landed with changes",
         "evidence": [{"kind": "coverage", "commit": "d" * 40, "build": 11, "detail": NASTY}]},
        {"id": "second-fix", "pr": None, "evidence": [], "verdict": "keep", "reason": "not in the base"},
    ],
}  # fmt: skip


def event(patch: str | None, build: int, after: str, *, alone: bool = False) -> dict[str, Any]:
    return {
        "commit": f"{build:040x}", "build": build, "subject": f"server : move it (#{build}) {NASTY}",
        "author": "Someone", "pr": build, "patch": patch, "alone": alone, "before": "applies", "after": after,
        "conflicts": ["server.cpp"] if after == "conflict" else [],
    }  # fmt: skip


def fates(*ids: str) -> dict[str, Any]:
    return {name: {"outcome": "clean", "conflicts": []} for name in ids}


FORECAST: dict[str, Any] = {
    "base": {"commit": BASE, "build": 9},
    "to": {"commit": "e" * 40, "build": 109},
    "commits": 100,
    "applications": 7,
    # As the ledger gives it back: by name, not in the order of the stack.
    "start": {"sequence": fates("second-fix", "first-fix"), "alone": fates("first-fix", "second-fix")},
    "end": {"sequence": {}, "alone": {}},
    "events": [
        event("first-fix", 34, "conflict"),
        event("first-fix", 34, "conflict", alone=True),
        event("second-fix", 34, "blocked"),
        event(None, 34, "conflict"),
        event("first-fix", 59, "absorbed"),
        event("second-fix", 59, "applies"),
        event("second-fix", 80, "conflict", alone=True),
    ],
}
BISECT: dict[str, Any] = {  # as ``bisect --json`` gives it
    "culprit": {
        "kind": "interaction",
        "ids": ["first-fix", "f" * 40],
        "reverse": False,
        "patches": [
            {"id": "first-fix", "subject": NASTY, "author": "A <a@x>", "stat": "1 file changed", "change": "kept"}
        ],
        "commits": [
            {"commit": "f" * 40, "build": 8, "subject": NASTY, "author": "B <b@x>", "pr": "#7", "stat": "2 files"}
        ],
        "good": f"{'e' * 40}:first-fix,second-fix",
        "bad": f"{'f' * 40}:first-fix,second-fix",
    },
    "confidence": 0.97,
    "certain": False,
    "why": "",
    "axes": {
        "good": {"stack": "r1", "commit": "a" * 40, "build": 1},
        "bad": {"stack": "r9", "commit": "b" * 40, "build": 9},
        "commits": 8,
        "patches": [{"id": "first-fix", "good": True, "bad": True}, {"id": "second-fix", "good": False, "bad": True}],
    },
    "probabilities": [{"good": "", "bad": "", "label": "b8", "share": 0.97}],
    "points": [
        {
            "point": f"{'e' * 40}:first-fix,second-fix",
            "at": 6,
            "patches": ["first-fix", "second-fix"],
            "label": "b7",
            "verdict": "good",
            "looks": [{"verdict": "good", "detail": ""}],
        },
        {
            "point": f"{'f' * 40}:first-fix,second-fix",
            "at": 7,
            "patches": ["first-fix", "second-fix"],
            "label": "b8",
            "verdict": "bad",
            "looks": [{"verdict": "bad", "detail": NASTY}],
        },
        {
            "point": f"{'f' * 40}:",
            "at": 7,
            "patches": [],
            "label": "b8 with no patch",
            "verdict": "skip",
            "looks": [{"verdict": "skip", "detail": NASTY}],
        },
    ],
    "tests": 5,
    "builds": 4,
    "from_ledger": 0,
    "saved": 5,
    "seconds": 90.0,
}


def bench(stack: str, build: int, factor: float = 1.0) -> dict[str, Any]:
    def series(name: str, middle: float) -> dict[str, Any]:
        return {"name": name, "values": [middle * by for by in (0.98, 1.0, 1.01, 1.0, 0.99)], "median": middle}

    comparison = {"ratio": 1.1, "low": 1.08, "high": 1.13, "verdict": "faster"}
    rows = [
        {"measure": "decode", "unit": "tokens/s", "higher_is_better": True, "point": {"depth": depth, "kv": "q8_0"},
         "series": [series("base", 100 / (1 + at)), series(stack, factor * 110 / (1 + at))], "comparison": comparison}
        for at, depth in enumerate((0, 4096, 32768))
    ]  # fmt: skip
    memory = {"measure": "memory", "unit": "MiB", "higher_is_better": False, "point": {},
              "series": [series(stack, 900)], "comparison": None}  # fmt: skip
    return {
        "schema_version": 1, "kind": "bench", "stack": stack, "variant": "cpu", "date": "2026-01-02T03:04:05Z",
        "build": {"number": build, "identity": "bbbbbbbbb-777777777"}, "vs": {"name": "base", "identity": "x"},
        "model": {"name": "tiny", "sha256": "3" * 64}, "hardware": {"words": "a machine"}, "rows": [*rows, memory],
    }  # fmt: skip


def tests_of(*, failed: bool) -> list[dict[str, Any]]:
    return [
        {"test": "boots", "patch": None, "result": "pass", "detail": ""},
        {"test": "known-text", "patch": None, "result": "fail" if failed else "pass",
         "detail": f"status 500, not 200: {NASTY}\nlast line" if failed else ""},
        {"test": "probe-first-fix", "patch": "first-fix", "result": "pass", "detail": ""},
        {"test": "probe-second-fix", "patch": "second-fix", "result": "skip", "detail": "needs torch"},
    ]  # fmt: skip


def make_workspace(root: Path, *, failed: bool = True) -> tuple[Workspace, Path]:
    """Write the workspace and its cache; return both."""
    for name, text in (("first-fix", PAGE), ("second-fix", OTHER)):
        (root / "patches" / name).mkdir(parents=True)
        (root / "patches" / name / "README.md").write_text(text)
    (root / "stacks").mkdir()
    (root / "stacks" / "r9.yaml").write_text(STACK)
    (root / "stacks" / "r9.evidence.json").write_text(json.dumps(evidence(failed=failed)))
    folder = root / "out" / "r9" / "cpu"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "libx.so.1").write_bytes(b"x" * 3000)
    (folder / "lib" / "libx.so").symlink_to("libx.so.1")
    files = [{"path": "lib/libx.so", "size": 3000}, {"path": "lib/libx.so.1", "size": 3000}]
    info = {"tree": TREE, "durations": {"configure": 1.5, "compile": 130.0}, "files": files}
    (folder / "build-info.json").write_text(json.dumps(info))
    logs = root / "cache" / "logs" / "r9" / TREE[:12]
    (logs / "cpu.tests").mkdir(parents=True)
    (logs / "cpu.tests" / "boots.log").write_text("it boots\n")
    (logs / "cpu.tests" / "known-text.log").write_text(f"::error::no\n{NASTY}\n```\nthe last line\n")
    (logs / "cpu.compile.log").write_text("[1/2] one\n[2/2] two\n")
    return Workspace(root), root / "cache"


def evidence(*, failed: bool) -> dict[str, Any]:
    gpu = {"machine": "x86_64", "processor": "P", "gpus": [{"name": "G", "capability": "8.9"}]}
    return {
        "schema_version": 1, "release": "r9", "base": {"commit": BASE, "build": 9},
        "result": {"commit": COMMIT, "tree": TREE},
        "patches": [{"id": row["id"], "revision": "b9.patch", "sha256": "1" * 64, "outcome": "clean"}
                    for row in CHECK["patches"]],
        "variants": {
            "cpu": {"build_key": "k" * 64, "toolchain": {"cc": "cc 12", "processor": "secret"}, "architectures": [],
                    "proven": False, "why": "1 of 4 failed" if failed else "1 of 4 skipped",
                    "tests": tests_of(failed=failed), "date": "2026-01-01T00:00:00Z",
                    "hardware": {"machine": "x86_64", "processor": "Proc", "gpus": []}},
            "sm_89": {"build_key": "j" * 64, "toolchain": {"cc": "cc 12", "nvcc": "13.0"}, "architectures": ["sm_89"],
                      "proven": True, "why": "", "tests": [], "date": "2026-01-01T00:00:00Z",
                      "elsewhere": [{"hardware": gpu, "package": "p" * 64, "date": "2026-01-03T00:00:00Z",
                                     "tests": [{**test, "result": "pass", "detail": ""}
                                               for test in tests_of(failed=False)]}]},
        },
    }  # fmt: skip


def seconds_of(log: str) -> float | None:
    return 2.5 if log.endswith("cpu.tests/boots.log") else None


def make(root: Path, *, failed: bool = True, **changed: Any) -> dict[str, Any]:
    """Return the report of the workspace, with everything in it unless ``changed`` says otherwise."""
    workspace, cache = make_workspace(root, failed=failed)
    benches = [bench("r8", 8, 0.9), bench("r9", 9)]
    found = Findings(**{"check": CHECK, "status": STATUS, "forecast": FORECAST, "bisects": [BISECT], "benches": benches,
                        **changed})  # fmt: skip
    return make_report(workspace, workspace.load_stack(root / "stacks" / "r9.yaml"), found, cache, seconds_of)
