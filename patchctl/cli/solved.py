"""What a person should know about conflicts that were solved: what a solution lost, and which came from memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from patchctl.cli.common import App
    from patchctl.series.session import Loss, Session


def losses_of(session: Session) -> dict[str, Loss]:
    """Return by id what solved patches lose; asked before the session is finished, none when none is open."""
    return session.losses() if session.progress() is not None else {}


def tell_losses(app: App, losses: Mapping[str, Loss]) -> dict[str, Any]:
    """Warn of what solutions lose; returns it for ``--json``, by id."""
    for patch_id, loss in losses.items():
        if loss.untouched:
            paths = ", ".join(loss.untouched)
            app.ui.warn(f"{patch_id}: its new revision leaves {paths} as it was; the one before changed it")
        if loss.deleted:
            app.ui.warn(f"{patch_id}: its new revision deletes {', '.join(loss.deleted)}; the one before did not")
    return {patch_id: asdict(loss) for patch_id, loss in losses.items()}


def tell_recalled(app: App, session: Session) -> list[str]:
    """Say which conflicts were solved as they had been before, and how to do it anew; returns the patches."""
    for patch_id in session.recalled:
        app.ui.say(f"{patch_id} is solved as it was before; to do it anew: --abort, patchctl cache --free solutions")
    return session.recalled
