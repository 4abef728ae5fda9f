"""What a patch requires of its stack when some of that retired: the base has it then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.errors import PatchctlError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from patchctl.manifest.workspace import Workspace


def still_required(
    workspace: Workspace, requires: Sequence[str], named: Collection[str], build: Callable[[], int]
) -> tuple[str, ...]:
    """Return those of ``requires`` that the stack has to bring: not what the base has, as the other's page says.

    ``named`` are the patches of the stack, ``build`` gives the build number of its base.
    """
    return tuple(one for one in requires if one in named or not _in_base(workspace, one, build))


def _in_base(workspace: Workspace, patch_id: str, build: Callable[[], int]) -> bool:
    since = retired_since(workspace, patch_id)
    return since is not None and since <= build()


def retired_since(workspace: Workspace, patch_id: str) -> int | None:
    """Return the build of upstream from which on a patch is not needed, as its page says; None when it does not."""
    try:
        retired = workspace.load_page(patch_id).page.retired
    except PatchctlError:
        return None  # whoever asked for the patch says what is wrong with it
    return retired.build if retired else None
