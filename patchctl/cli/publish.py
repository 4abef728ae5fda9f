"""``patchctl publish``: a stack as a branch and a tag for people who clone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command, stack_argument
from patchctl.cli.lock import follow_lock

if TYPE_CHECKING:
    from patchctl.ship.publish import Published


@command("publish")
@stack_argument
@click.option("--remote", required=True, metavar="R", help="URL or folder of a repository of yours, never upstream.")
@click.option("--branch", required=True, metavar="B", help="The branch to push to.")
@click.option("--tag", metavar="T", help="Also make this tag; it never moves.")
@click.option("--dry-run", is_flag=True, help="Ask the remote, push nothing.")
def publish(app: App, name: str, remote: str, branch: str, tag: str | None, *, dry_run: bool) -> None:
    """Push STACK to a branch: the very commits of its lock, one a patch, on upstream's history.

    A branch that holds commits of others is not replaced.

    \b
    patchctl publish stacks/b9187.yaml --remote git@github.com:me/llama.cpp.git --branch patched --tag b9187-me
    """
    from patchctl.config import mirror_for
    from patchctl.ship.bundle import commit_date
    from patchctl.ship.publish import Publisher, Target, check_target
    from patchctl.text import redacted

    stack = app.stack(name)
    upstream = stack.stack.upstream.repo
    target = Target(remote, branch, tag)
    check_target(target, [upstream, mirror_for(upstream)])
    store, _, resolved = app.resolve(stack)
    resolved.require_success(name)
    follow_lock(app, stack, store, resolved, locked=True)
    source = resolved.source(store, upstream, stack.stack.release)
    with app.ui.progress(f"{source.release}: publish") as show:
        store.progress = show
        done = Publisher(store, source, target, commit_date(store, source.commit)).publish(dry_run=dry_run)
    commits = [step.commit for step in resolved.steps if step.outcome.applied]
    state = _state(done, dry_run=dry_run)
    app.ui.say(f"{remote} {branch}{f' {tag}' if tag else ''}  {source.commit[:9]}  {state}")
    app.ui.result(
        {
            "stack": source.release,
            "remote": redacted(remote),
            "branch": branch,
            "tag": tag,
            "before": done.before,
            "commit": done.after,
            "tag_object": done.tag,
            "commits": commits,
            "changed": done.changed and not dry_run,
            "dry_run": dry_run,
        }
    )


def _state(done: Published, *, dry_run: bool) -> str:
    if not done.changed:
        return "up to date"
    if done.before is None:
        return "would be new" if dry_run else "new"
    return f"{'would move' if dry_run else 'moved'} from {done.before[:9]}"
