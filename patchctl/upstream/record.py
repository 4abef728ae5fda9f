"""Write a landing that was proved into the patch's page: later edits of upstream hide it, the page keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.files import write_atomic
from patchctl.manifest.edit import add_key
from patchctl.upstream.verdict import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.manifest.workspace import Workspace
    from patchctl.upstream.verdict import Evidence


def record(workspace: Workspace, patch_id: str, evidence: Sequence[Evidence]) -> Path | None:
    """Set ``drop_when.commit`` in a patch's page to the landing that ``evidence`` proves and return the page.

    None where nothing is proved or the page says it already. Only the bytes of that key are written; raises
    InvalidError when the page is written so that only a person can do it.
    """
    proved = next((one for one in evidence if one.kind in {Kind.DECLARED, Kind.LANDED} and one.commit), None)
    file = workspace.load_page(patch_id)
    trigger = file.page.drop_when
    if proved is None or proved.commit is None or file.page.from_ is not None or (trigger and trigger.commit):
        return None
    if trigger is None:
        content = add_key(file.document, (), "drop_when", f"{{commit: {proved.commit}}}")
    else:
        content = add_key(file.document, ("drop_when",), "commit", proved.commit)
    write_atomic(file.path, content)
    return file.path
