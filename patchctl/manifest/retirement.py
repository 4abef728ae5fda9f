"""What pages say of patches that retired: from which build on a base has them, so that no stack has to bring them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.errors import PatchctlError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from patchctl.manifest.model import Page
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


def retired_but(workspace: Workspace, named: Collection[str]) -> dict[str, Page]:
    """Return the pages of the patches that retired, as they say, but for those that are ``named``."""
    ids = [patch_id for patch_id in workspace.patch_ids() if patch_id not in named]
    return {one: workspace.load_page(one).page for one in ids if retired_since(workspace, one) is not None}


def retired_since(workspace: Workspace, patch_id: str) -> int | None:
    """Return the build of upstream from which on a patch is not needed, as its page says; None when it does not."""
    try:
        retired = workspace.load_page(patch_id).page.retired
    except PatchctlError:
        return None  # whoever asked for the patch says what is wrong with it
    return retired.build if retired else None
