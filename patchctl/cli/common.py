"""What every command shares: its options, the workspace it stands in, and JSON for errors too."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from patchctl.cli.ui import Ui
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchctl.ledger import Ledger
    from patchctl.manifest.workspace import StackFile, Workspace
    from patchctl.series.resolve import Resolved
    from patchctl.series.sequence import Series
    from patchctl.store import Store

F = TypeVar("F", bound="Callable[..., Any]")


class App:
    """One run of a command: how to speak, where the workspace is, what was done before."""

    def __init__(self, ui: Ui) -> None:
        self.ui = ui
        self._stores: list[Store] = []

    @functools.cached_property
    def workspace(self) -> Workspace:
        """Return the workspace around the current folder."""
        from patchctl.manifest.workspace import find_workspace

        return find_workspace(Path.cwd())

    @functools.cached_property
    def cache(self) -> Path:
        """Return the cache folder."""
        from patchctl.files import cache_folder

        return cache_folder()

    @functools.cached_property
    def ledger(self) -> Ledger:
        """Return the ledger."""
        from patchctl.ledger import Ledger

        return Ledger(self.cache / "ledger.sqlite")

    def stack(self, name: str) -> StackFile:
        """Return the stack that a path or a bare release name means; a path brings its own workspace."""
        from patchctl.manifest.workspace import locate

        self.workspace, path = locate(name, Path.cwd())
        return self.workspace.load_stack(path)

    def store(self, stack: StackFile, progress: Callable[[str], None] = lambda _: None) -> Store:
        """Return the objects of the stack's upstream."""
        return self.store_of(stack.outline.repo, progress)

    def store_of(self, url: str, progress: Callable[[str], None] = lambda _: None) -> Store:
        """Return the objects of the upstream at ``url``."""
        from patchctl.config import mirror_for
        from patchctl.store import Store

        return self.watch(Store(url, mirror_for(url), self.cache, self.ledger, progress))

    def watch(self, store: Store) -> Store:
        """Return ``store``, whose processes end with the command."""
        self._stores.append(store)
        return store

    def close(self) -> None:
        """End the processes that read objects, and close the ledger."""
        for store in self._stores:
            store.repo.close()
        if "ledger" in vars(self):
            self.ledger.close()

    def resolve(
        self, stack: StackFile, *, only: tuple[str, ...] = (), without: tuple[str, ...] = (), onto: str | None = None
    ) -> tuple[Store, Series, Resolved]:
        """Return the stack applied in memory to its base, or to the commit that ``onto`` names."""
        from patchctl.series.patch import select
        from patchctl.series.resolve import Resolved, load_patches, recorded
        from patchctl.series.sequence import Series

        with self.ui.progress(stack.outline.release) as show:
            store = self.store(stack, show)
            base = stack.outline.commit
            if onto is not None:
                require_ref(onto)
                store.ensure_commit(base)
                base = store.resolve(onto, base)
            everything = load_patches(self.workspace, stack, store, base)
            patches = select(everything, only=only, without=without)
            series = Series(
                store, everything, allow=stack.outline.allow, progress=lambda at, of: show(f"patch {at} of {of}"),
                recorded=lambda: recorded(self.workspace),
            )  # fmt: skip
            steps = series.sequence(base, patches)
            return store, series, Resolved(base, store.build_number(base), tuple(patches), tuple(steps))


def require_ref(onto: str) -> None:
    """Raise PatchctlError (exit code 2) where a script's empty variable would mean another base than the user's."""
    if not onto.strip():
        raise PatchctlError(Code.USAGE, "--onto is empty; give a commit of upstream: 40 digits, bN, branch, tag")


def command(name: str) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a command of a function that takes an ``App`` first; adds ``--json``, ``-q`` and ``-v``.

    Its return value is the exit code. With ``--json`` an error is one object on standard output too (``cli.run``).
    """

    def decorate(function: Callable[..., int | None]) -> click.Command:
        @functools.wraps(function)
        def call(as_json: bool, quiet: bool, verbose: bool, **values: Any) -> None:  # noqa: FBT001 - click names them
            from patchctl.files import LISTENERS

            app = App(Ui(as_json=as_json, quiet=quiet, verbose=verbose))
            LISTENERS.append(app.ui.note)
            try:
                code = function(app, **values)
            finally:
                LISTENERS.pop()
                app.close()
            if code:
                raise click.exceptions.Exit(int(code))

        for option in (
            click.option("-v", "--verbose", is_flag=True, help="Say more about what is going on."),
            click.option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors."),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output."),
        ):
            call = option(call)
        return click.command(name)(call)

    return decorate


def stack_argument(function: F) -> F:
    """Add the argument STACK: a path, or the bare name of a file in ``stacks/``."""
    return click.argument("name", metavar="STACK")(function)


def patch_options(function: F) -> F:
    """Add ``--only`` and ``--without``."""
    function = click.option("--without", multiple=True, metavar="ID", help="Leave this patch and its dependants out.")(
        function
    )
    return click.option("--only", multiple=True, metavar="ID", help="Take this patch and what it requires.")(function)
