"""Which patches a refresh makes anew, as a table: outcome, the base the revision names, and whether it was named."""

from __future__ import annotations

import pytest

from patchctl.author.refresh import _why_not
from patchctl.series.judge import Outcome
from patchctl.series.patch import Patch
from patchctl.series.sequence import Step

HERE, ELSEWHERE = "a" * 40, "b" * 40
MAIL = """From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Ada <ada@example.invalid>
Subject: [PATCH] one

---
diff --git a/x b/x
index 1111111..2222222 100644
--- a/x
+++ b/x
@@ -1 +1 @@
-a
+b

base-commit: {base}
"""


def patch(base: str, file: str | None = "b1.patch") -> Patch:
    return Patch("one", file, "one", MAIL.format(base=base).encode())


def step(outcome: Outcome) -> Step:
    return Step(outcome, "c" * 40, "d" * 40, ("x",), "needs zero")


@pytest.mark.parametrize(
    ("outcome", "base", "ids", "before", "why"),
    [
        (Outcome.OFFSET, ELSEWHERE, [], None, ""),
        (Outcome.THREE_WAY, ELSEWHERE, ["one"], None, ""),
        (Outcome.THREE_WAY, ELSEWHERE, ["two"], None, "not named"),
        (Outcome.OFFSET, HERE, [], None, "made for this base"),
        (Outcome.OFFSET, HERE, ["one"], None, ""),
        (Outcome.CLEAN, ELSEWHERE, ["one"], None, "stands on the same files here"),
        (Outcome.ABSORBED, ELSEWHERE, [], None, "upstream has it"),
        (Outcome.CONFLICT, ELSEWHERE, [], "zero", "conflicts in x"),
        (Outcome.BLOCKED, ELSEWHERE, [], "zero", "needs zero"),
        (Outcome.OFFSET, ELSEWHERE, [], "zero", "waits for zero, which touches the same files"),
    ],
)
def test_each_patch_is_made_anew_or_says_why_not(
    outcome: Outcome, base: str, ids: list[str], before: str | None, why: str
) -> None:
    assert _why_not(patch(base), step(outcome), HERE, ids, before) == why


def test_a_patch_by_reference_has_no_revision_to_make() -> None:
    assert _why_not(patch(ELSEWHERE, None), step(Outcome.OFFSET), HERE, [], None) == "taken from upstream by reference"
