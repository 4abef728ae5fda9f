"""``patchctl import``: patches from a file, a queue, a commit, a range, a pull request, a fork's branch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command
from patchctl.errors import Code, PatchctlError
from patchctl.ledger import digest

if TYPE_CHECKING:
    from patchctl.author.arrival import Arrival
    from patchctl.author.journal import Orders
    from patchctl.author.target import Target
    from patchctl.store import Store

USELESS = {"fork": ("head", "patch_id", "title", "author"), "update": ("base", "patch_id", "title", "author")}


@command("import")
@click.argument("source", metavar="[SOURCE]", required=False)
@click.option("--stack", metavar="STACK", help="Add to this stack; make it when it is not there (with --base).")
@click.option("--base", metavar="SHA", help="The commit of upstream to stand on: 40 digits, bN, branch, tag.")
@click.option("--fork", metavar="PATH@BRANCH", help="Import the commits of a fork's branch as a new stack.")
@click.option("--update", metavar="ID", help="Move the pin of this patch to --head and write a new revision.")
@click.option("--head", metavar="SHA", help="The head of the pull request that was reviewed.")
@click.option("--id", "patch_id", metavar="ID", help="The id of the one patch imported; by default from its subject.")
@click.option("--title", metavar="TEXT", help="The title of the one patch imported.")
@click.option("--author", metavar="'NAME <ADDRESS>'", help="The author of a diff that names none.")
@click.option("--upstream", metavar="URL", help="The repository patched; by default that of the workspace's stacks.")
def import_(app: App, **values: str | None) -> int:
    """Import SOURCE: a mail, an mbox, a diff, a folder of them, a commit, a range A..B, a pull request #N.

    Nothing that is there is overwritten, and either everything is written or nothing.

    \b
    patchctl import 0001-fix.patch --stack stacks/b9187.yaml
    patchctl import '#24911' --stack b9187
    patchctl import patches-dir --stack stacks/mine.yaml --base b9187
    patchctl import --fork ../my-llama.cpp@master --stack stacks/mine.yaml
    patchctl import --update shared-tensors --head SHA
    """
    from patchctl.author.journal import complete
    from patchctl.author.target import find_target
    from patchctl.files import locked

    given = {name: value for name, value in values.items() if value is not None}
    _check_words(given)
    key = digest("import", given, str(Path.cwd()))
    folder = app.workspace.patches_folder
    with locked(app.cache / "locks" / f"{digest(str(folder))[:16]}.lock", f"importing into {app.workspace.root}"):
        pending = complete(app.workspace)
        if pending is not None and pending.key == key:
            return _completed(app, pending)
        if pending is not None:
            app.ui.note(f"note: {_told(pending)}; now to this one")
        word = given.get("stack")
        target = find_target(app.workspace, word, Path.cwd() / (word or ""))
        started = time.monotonic()
        if "update" in given:
            return _update(app, target, given)
        arrival = _arrival(app, target, given, key)
        return _hand_in(app, arrival, started)


def _check_words(given: dict[str, str]) -> None:
    what = [name for name in ("source", "fork", "update") if name in given]
    if len(what) != 1:
        raise PatchctlError(Code.USAGE, "say what to import: SOURCE, or --fork PATH@BRANCH, or --update ID --head SHA")
    useless = [name for name in given if name in USELESS.get(what[0], ())]
    if useless:
        named = ", ".join(f"--{name.removeprefix('patch_')}" for name in useless)
        raise PatchctlError(Code.USAGE, f"{named} means nothing with --{what[0]}; leave it out")
    if what == ["update"] and "head" not in given:
        raise PatchctlError(Code.USAGE, "--update needs --head SHA: the head that was reviewed")
    if what == ["fork"] and "stack" not in given:
        raise PatchctlError(Code.USAGE, "--fork makes a stack; name it with --stack stacks/NAME.yaml")


def _arrival(app: App, target: Target, given: dict[str, str], key: str) -> Arrival:
    from patchctl.author.arrival import arrive
    from patchctl.author.draft import check_author
    from patchctl.author.source import gather

    with app.ui.progress("import") as show:
        store = app.store_of(target.upstream(given.get("upstream")), show)
        if "fork" in given:
            return _fork(app, target, store, given, key)
        author = check_author(given.get("author"))
        word = given["source"]
        gathered = gather(
            store, word, Path.cwd() / word, head=given.get("head"), author=author, title=given.get("title")
        )
        base = store.resolve(given["base"]) if "base" in given else None
        return arrive(target, store, gathered, base=base, name=given.get("patch_id"), key=key)


def _fork(app: App, target: Target, store: Store, given: dict[str, str], key: str) -> Arrival:
    from patchctl.author.arrival import arrive_fork
    from patchctl.author.upstream import fork_base, fork_of

    if target.stack is not None:
        path = target.stack.document.path
        raise PatchctlError(Code.USAGE, f"{path} is there already; --fork makes a new stack, name another")
    fork, branch = fork_of(store, given["fork"], Path.cwd())
    app.watch(fork)
    tip = fork.pin(f"refs/heads/{branch}")
    base = fork_base(store, tip, given["fork"], store.resolve(given["base"]) if "base" in given else None)
    name = f"the branch {branch}"
    return arrive_fork(target, [fork, store], tip, base, name=name, key=key)


def _hand_in(app: App, arrival: Arrival, started: float) -> int:
    from patchctl.author.journal import hand_in
    from patchctl.report.words import duration

    hand_in(app.workspace, arrival.orders, arrival.files)
    for patch_id, files in arrival.files.items():
        revision = next((name for name in files if name != "README.md"), None)
        app.ui.say(f"imported {patch_id}  {revision or 'by reference'}")
    for note in arrival.notes:
        app.ui.note(f"note: {note}")
    count = len(arrival.files)
    what = f"{count} patch{'' if count == 1 else 'es'} in {duration(time.monotonic() - started)}"
    tree = f", tree {arrival.tree[:9]}" if arrival.tree else ""
    app.ui.say(f"{what}{tree}; {_next(arrival.orders)}")
    app.ui.result(_object(arrival.orders, arrival.base, arrival.tree, arrival.notes))
    return Code.OK


def _completed(app: App, orders: Orders) -> int:
    """Report what an import that was killed had decided, now that it is done."""
    app.ui.say(_told(orders))
    app.ui.result(_object(orders, None, None, []))
    return Code.OK


def _told(orders: Orders) -> str:
    where = f" into {orders.stack}" if orders.stack else ""
    return f"completed the import that was cut off: {', '.join(orders.ids)}{where}"


def _object(orders: Orders, base: str | None, tree: str | None, notes: list[str]) -> dict[str, Any]:
    return {"imported": list(orders.ids), "stack": orders.stack, "base": base, "tree": tree, "notes": notes}


def _next(orders: Orders) -> str:
    return f"next: patchctl check {orders.stack}" if orders.stack else "next: name it in a stack"


def _update(app: App, target: Target, given: dict[str, str]) -> int:
    from patchctl.author.update import update

    with app.ui.progress("import") as show:
        store = app.store_of(target.upstream(given.get("upstream")), show)
        made = update(target, store, given["update"], given["head"])
    written, changed = made.write()
    path = app.workspace.shown(written)
    if made.range_diff is None:
        app.ui.warn(f"the head until now is gone from the repository; compare {path} with the revision before it")
    for line in (made.range_diff or "").splitlines():
        app.ui.say(line)
    app.ui.say(f"{'wrote' if changed else 'unchanged'} {path}; {made.patch_id} is pinned at {made.head}")
    app.ui.result({"updated": made.patch_id, "revision": path, "changed": changed, "head": made.head,
                   "range_diff": made.range_diff})  # fmt: skip
    return Code.OK
