"""Why a remote was not pushed to, from what git and the server said: in one sentence, with what to do next."""

from __future__ import annotations

import re

from patchctl.errors import Code

FORCED = "it takes no forced pushes to that branch: allow them there, or publish to a new branch"
# What was said, the exit code, what that means, what to do; the first that fits counts.
AFTER_A_PUSH = (
    (
        "stale info|fetch first|cannot lock ref|already exists",
        Code.ATTENTION,
        "somebody else pushed meanwhile",
        "look at it, then publish again",
    ),
    ("non-fast-forward|force-push", Code.NETWORK, "refused the push: {said}", FORCED),
)
WITHOUT_ONE = (
    (
        r"could not read (Username|Password)|Authentication failed|Permission denied \(|error: 401",
        Code.NETWORK,
        "does not know you: {said}",
        "give git a credential helper, or ssh a key, for it",
    ),
    (r"error: 403", Code.NETWORK, "does not let you push", "use an account that may write there"),
    (r"error: 30\d", Code.NETWORK, "has moved, and is not followed", "give its new URL as --remote"),
    ("dubious ownership", Code.NETWORK, "belongs to another user", "push to it as that user, or over ssh"),
    (
        r"Could not (read from remote|resolve)|unable to access|Connection|not found|timed out|not appear to be a git",
        Code.NETWORK,
        "cannot be reached: {said}",
        "",
    ),
)
REFUSED = ("", Code.NETWORK, "refused the push: {said}", "")
# ssh says why in the line before this one.
SILENT = "fatal: Could not read from remote repository"


def explain(said: str) -> tuple[Code, str]:
    """Return the exit code and the sentence for ``said``, what a push or a question to a remote ended with."""
    pushed = "rejected" in said
    rules = (*AFTER_A_PUSH, *(() if pushed else WITHOUT_ONE), REFUSED)
    _, code, what, hint = next(rule for rule in rules if re.search(rule[0], said))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    quote = (_of_the_server(lines) or _of_git(lines)).removeprefix("fatal: ").removeprefix("error: ").rstrip(".")
    return code, "; ".join(filter(None, (what.format(said=quote), hint)))


def _of_the_server(lines: list[str]) -> str:
    told = (line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:"))
    return next((line for line in told if line and not line.startswith("error: hook")), "")


def _of_git(lines: list[str]) -> str:
    at = next((at for at, line in enumerate(lines) if line.startswith(SILENT)), 0)
    if at:
        return lines[at - 1]
    return next((line for line in lines if "rejected" in line or line.startswith("fatal:")), "it gave no reason")
