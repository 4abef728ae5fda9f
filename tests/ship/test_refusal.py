"""What git and servers say when a push fails, word for word, and what a person is told."""

from __future__ import annotations

import pytest

from patchctl.errors import Code
from patchctl.ship.refusal import FORCED, explain

SSH_END = """fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists.
"""
GITHUB = """remote: error: GH006: Protected branch update failed for refs/heads/x.
remote: error: Cannot force-push to this protected branch
!\tx\t[remote rejected] (protected branch hook declined)
"""
KEY = "give git a credential helper, or ssh a key, for it"


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        ("!\trefs/heads/x:refs/heads/x\t[rejected] (stale info)\nerror: failed to push some refs to 'u'",
         10, "somebody else pushed meanwhile; look at it, then publish again"),
        ("remote: error: cannot lock ref 'refs/heads/x': is at 1 but expected 2\n!\tx\t[remote rejected] (failed)",
         10, "somebody else pushed meanwhile; look at it, then publish again"),
        ("remote: \nremote: error: denying non-fast-forward refs/heads/x (you should pull first)\n!\tx\t[rejected]",
         7, f"refused the push: denying non-fast-forward refs/heads/x (you should pull first); {FORCED}"),
        (GITHUB,
         7, f"refused the push: GH006: Protected branch update failed for refs/heads/x; {FORCED}"),
        ("remote: the repository of Mr. X was not found wanting\n!\tx\t[remote rejected] (pre-receive hook declined)",
         7, "refused the push: the repository of Mr. X was not found wanting"),
        ("remote: error: hook declined to update refs/tags/v1\n!\tt:refs/tags/v1\t[remote rejected] (hook declined)",
         7, "refused the push: !\tt:refs/tags/v1\t[remote rejected] (hook declined)"),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled",
         7, f"does not know you: could not read Username for 'https://h': terminal prompts disabled; {KEY}"),
        (f"git@h: Permission denied (publickey).\r\n{SSH_END}", 7,
         f"does not know you: git@h: Permission denied (publickey); {KEY}"),
        (f"Warning: Permanently added 'h'.\nHost key verification failed.\n{SSH_END}", 7,
         "cannot be reached: Host key verification failed"),
        (f"ERROR: Repository not found.\n{SSH_END}", 7, "cannot be reached: ERROR: Repository not found"),
        (SSH_END, 7, "cannot be reached: Could not read from remote repository"),
        ("fatal: unable to access 'http://h/': The requested URL returned error: 403", 7,
         "does not let you push; use an account that may write there"),
        ("fatal: unable to access 'http://h/': The requested URL returned error: 302", 7,
         "has moved, and is not followed; give its new URL as --remote"),
        ("fatal: unable to access 'http://h/': Could not resolve host: h", 7,
         "cannot be reached: unable to access 'http://h/': Could not resolve host: h"),
        ("fatal: detected dubious ownership in repository at '/x'\nTo add an exception", 7,
         "belongs to another user; push to it as that user, or over ssh"),
        ("", 7, "refused the push: it gave no reason"),
    ],
)  # fmt: skip
def test_each_is_one_sentence_with_what_to_do(said: str, code: int, told: str) -> None:
    assert explain(said) == (Code(code), told)
