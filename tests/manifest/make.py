"""Workspaces for these tests, made of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.manifest.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

OID = "0253fb21f595246f54c192fe8332f34173be251b"
STACK = f"""\
schema: 1
release: b9187
upstream:
  repo: https://github.com/ggml-org/llama.cpp
  commit: {OID}
patches: [one, two]
build:
  targets: [llama-server]
  variants: {{cpu: {{}}}}
"""
PAGE = "---\ntitle: A patch\nreview_after: {build: 9300}\n---\n\n# Why\n"
PROBE = "schema: 1\ncommand: {run: [python3, probe.py]}\n"
REVISION = f"""\
From {"0" * 40} Mon Sep 17 00:00:00 2001
From: A U Thor <author@example.org>
Date: Mon, 18 May 2026 00:00:00 +0000
Subject: [PATCH] say it

---
 a.txt | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/a.txt b/a.txt
index {"1" * 40}..{"2" * 40} 100644
--- a/a.txt
+++ b/a.txt
@@ -1 +1 @@
-old
+new

base-commit: {OID}
"""


def write(root: Path, files: dict[str, str | bytes | None]) -> None:
    """Write files below ``root``; None removes one."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def patch_files(patch_id: str, page: str = PAGE) -> dict[str, str | bytes | None]:
    """Return the files of one patch in which lint finds nothing."""
    folder = f"patches/{patch_id}"
    return {
        f"{folder}/README.md": page,
        f"{folder}/b9187.patch": REVISION,
        f"{folder}/probe.yaml": PROBE,
        f"{folder}/probe.py": "",
    }


def workspace(root: Path, changes: dict[str, str | bytes | None] | None = None) -> Workspace:
    """Return a workspace of one stack and two patches in which lint finds nothing, with ``changes``."""
    write(root, {"stacks/b9187.yaml": STACK, **patch_files("one"), **patch_files("two"), **(changes or {})})
    return Workspace(root)
