"""``patchctl ci``: workflows for GitHub, and what they ask patchctl for."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from patchctl import __version__
from patchctl.cli.common import App, command
from patchctl.cli.ui import table
from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, package_data, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchctl.manifest.workspace import StackFile
    from patchctl.report.causes import Cause, Issue, Plan
    from patchctl.report.matrix import Cell

FOLDER = ".github/workflows"
WORKFLOWS = ("patches.yml", "nightly.yml", "watch.yml")
LABEL = "patchctl"
STACKS = "stacks"
DAY = 86400  # seconds
ANSWER_LIMIT = 16 << 20  # bytes
# By the commit that the tag named when it was looked up in the action's own repository; tags can be moved.
ACTIONS = {
    "checkout": ("3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "setup-python": ("5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0"),
    "cache": ("27d5ce7f107fe9357f9df03efb73ab90386fccae", "v5.0.5"),
    "upload-artifact": ("bbbca2ddaa5d8feaa63e36b76fdaad77386f024f", "v7.0.0"),
    "download-artifact": ("3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c", "v8.0.1"),
}


@click.group("ci")
def ci() -> None:
    """Workflows for GitHub, and what they ask patchctl for.

    \b
    patchctl ci init stacks/nightly.yaml
    patchctl ci matrix --json
    """


@command("init")
@click.argument("name", metavar="STACK")
@click.option("--days", type=click.IntRange(1, 365), default=14, show_default=True, help="Quiet days until an issue.")
@click.option("--install", metavar="SPEC", help="What pip installs patchctl from; else this version of it.")
@click.option("--force", is_flag=True, help="Write over workflows that are there and differ.")
def init(app: App, *, name: str, days: int, install: str | None, force: bool) -> int:
    """Write the workflows: checks of pull requests, the nightly look at upstream for STACK, the dead-man check.

    STACK is the one that follows upstream. Files that are there and differ are kept.

    \b
    patchctl ci init stacks/nightly.yaml
    patchctl ci init nightly --days 30 --install 'patchctl @ git+https://github.com/me/patchctl@v1'
    """
    stack = app.stack(name)
    root = app.workspace.root
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    if top != root:
        why = f"GitHub reads workflows at the top of a repository only, and that is {top}, above this workspace"
        raise PatchctlError(Code.USAGE, f"{why}; keep the workspace in a repository of its own")
    spec = install or _own_spec(root)
    followed = stack.path.relative_to(root).as_posix()
    made, kept = [], []
    for workflow in WORKFLOWS:
        path = root / FOLDER / workflow
        content = render(workflow, stack=followed, days=days, install=shlex.quote(spec))
        with disk_errors():
            there = path.is_symlink() or path.exists()
            same = there and path.is_file() and path.read_bytes() == content
        if there and not force:
            kept.append(f"{FOLDER}/{workflow}")
            if not same:
                app.ui.warn(f"{app.workspace.shown(path)} is kept, though it differs; write over it with --force")
        elif not same:
            write_atomic(path, content)
            made.append(f"{FOLDER}/{workflow}")
    for written in made:
        app.ui.say(f"made  {written}")
    if not made:
        app.ui.say("nothing to do: everything is there")
    app.ui.result({"made": made, "kept": kept, "install": spec})
    return Code.OK


def _own_spec(root: Path) -> str:
    """Return what pip installs this patchctl from: the workspace itself where it is patchctl's own repository."""
    try:
        own = re.search(r'^name = "patchctl"$', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        own = None
    return "." if own else f"patchctl=={__version__}"


def render(workflow: str, *, stack: str, days: int, install: str) -> bytes:
    """Return a workflow; its minute is made of the stack's name, so that not everybody asks GitHub at once."""
    import zlib

    import jinja2

    from patchctl.report.matrix import HOSTED

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
        variable_start_string="[[", variable_end_string="]]",  # GitHub's own are {{ }}
        autoescape=False,  # noqa: S701 - YAML, of what a workspace itself says
    )  # fmt: skip
    text = package_data(f"templates/workflows/{workflow}.j2").read_text(encoding="utf-8")
    minute = 3 + zlib.crc32(stack.encode()) % 55  # never the full hour, when everybody's schedule runs
    known = {"stack": json.dumps(stack), "days": days, "install": install, "minute": minute, "runner": HOSTED}
    return environment.from_string(text).render(action=_action, **known).encode()


def _action(name: str) -> str:
    commit, tag = ACTIONS[name]
    return f"actions/{name}@{commit} # {tag}"


@command("matrix")
@click.option("--labels", default="", metavar="WORDS", help="Labels of your own machines, with graphics cards.")
@click.option("--all", "everything", is_flag=True, help="Also what is proven already.")
def matrix(app: App, *, labels: str, everything: bool) -> int:
    """Say which variants of which stacks a CI system has to build, and on machines with which labels.

    \b
    patchctl ci matrix
    patchctl ci matrix --json --labels "sm_120 sm_89"
    """
    from patchctl.report.matrix import cells

    found = [
        cell
        for path in app.workspace.stack_files()
        for cell in cells(app.workspace, _load(app, path), _relative(app, path), labels.split(), everything=everything)
    ]
    for line in table([_row(cell) for cell in found]):
        app.ui.say(line)
    app.ui.result(
        {
            "include": [{"stack": it.stack, "variant": it.variant, "runner": it.runner} for it in found if it.runner],
            "skipped": [{"stack": it.stack, "variant": it.variant, "why": it.skipped} for it in found if it.skipped],
        }
    )
    return Code.OK


def _load(app: App, path: Path) -> StackFile:
    return app.workspace.load_stack(path)


def _relative(app: App, path: Path) -> str:
    return path.relative_to(app.workspace.root).as_posix()


def _row(cell: Cell) -> list[str]:
    return [cell.stack, cell.variant, f"skipped: {cell.skipped}" if cell.skipped else " ".join(cell.runner)]


@command("quiet")
@click.option("--days", type=click.IntRange(1), required=True, help="How long nothing may have come of it.")
def quiet(app: App, *, days: int) -> int:
    """Say whether nothing came of all this for so many days: no tag, and no change of a stack on this branch.

    A stack that follows upstream changes whenever a proposal of the nightly look is merged.

    \b
    patchctl ci quiet --days 14
    """
    when, what = max(_signs(app.workspace.root))
    passed = int((time.time() - when) // DAY)
    found = passed >= days
    app.ui.say(f"{what}, {passed} days ago{': nothing since' if found else ''}")
    app.ui.result({"quiet": found, "days": passed, "limit": days, "last": what})
    return Code.OK


def _signs(root: Path) -> Iterator[tuple[int, str]]:
    """Yield the signs of life of a workspace: when (seconds of the epoch), and what."""
    from patchctl.git import run_git

    def lines(*words: str) -> list[str]:
        return run_git(*words, cwd=root, settings=["safe.directory=*"]).text().splitlines()

    newest = ("--sort=-creatordate", "--count=1", "--format=%(creatordate:unix) %(refname:short)")
    for when, _, tag in (line.partition(" ") for line in lines("for-each-ref", *newest, "refs/tags")):
        if when:  # what is no commit has no date
            yield int(when), f"tag {tag}"
    for when, _, commit in (
        line.partition(" ") for line in lines("log", "-1", "--format=%ct %H", "HEAD", "--", STACKS)
    ):
        yield int(when), f"stacks changed by {commit[:9]}"
    yield min(int(when) for when in lines("log", "--max-parents=0", "--format=%ct", "HEAD")), "the first commit"


@command("issues")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def issues(app: App, *, files: tuple[Path, ...], dry_run: bool) -> int:
    """Keep one open issue for each cause in what status, forecast and ci quiet said with --json; close the others.

    Asks and changes the issues labelled "patchctl" with GitHub's own program gh.

    \b
    patchctl ci issues status.json forecast.json --dry-run
    """
    from patchctl.report.causes import plan

    scopes, causes = _read(files)
    if not dry_run:
        _gh("label", "create", LABEL, "--force", "--description", "opened and closed by patchctl")
    todo = plan(scopes, causes, _open_issues())
    for line in _lines(todo):
        app.ui.say(line)
    if not dry_run:
        _carry_out(todo)
    app.ui.result({"dry_run": dry_run, **_object(todo)})
    return Code.OK


def _read(files: tuple[Path, ...]) -> tuple[list[str], list[Cause]]:
    from patchctl.errors import InvalidError, Problem
    from patchctl.files import read_regular
    from patchctl.report.causes import causes_of

    scopes: list[str] = []
    causes: list[Cause] = []
    problems = []
    for path in files:
        try:
            scope, found = causes_of(json.loads(read_regular(path, str(path), ANSWER_LIMIT)))
        except ValueError as error:
            problems.append(Problem(str(path), 0, 0, str(error)))
            continue
        scopes += scope.split()
        causes += found
    if problems:
        raise InvalidError(problems)
    return scopes, causes


def _open_issues() -> list[Issue]:
    from patchctl.report.causes import Issue

    said = _gh("issue", "list", "--label", LABEL, "--state", "open", "--limit", "500", "--json", "number,body,title")
    return [Issue(int(it["number"]), str(it["body"]), str(it["title"])) for it in json.loads(said)]


def _carry_out(todo: Plan) -> None:
    for cause in todo.opened:
        _gh("issue", "create", "--title", cause.title, "--body", cause.body, "--label", LABEL)
    for issue, cause in todo.changed:
        title = issue.retitled(cause)
        _gh("issue", "edit", str(issue.number), "--body", cause.body, *(("--title", title) if title else ()))
    for issue in todo.closed:
        _gh("issue", "close", str(issue.number), "--comment", "The cause is gone.")


def _gh(*words: str) -> str:
    from patchctl import process

    said = process.output(["gh", *words], timeout=120)
    if said is None:
        hint = "gh auth status says whether it is there and may do that"
        raise PatchctlError(Code.NETWORK, f"gh {' '.join(words[:2])} failed; {hint}")
    return said


def _lines(todo: Plan) -> list[str]:
    lines = [f"open    {cause.title}" for cause in todo.opened]
    lines += [f"change  #{issue.number} {cause.title}" for issue, cause in todo.changed]
    return [*lines, *(f"close   #{issue.number} {issue.key}" for issue in todo.closed)] or ["every cause has its issue"]


def _object(todo: Plan) -> dict[str, Any]:
    return {
        "opened": [{"cause": cause.key, "title": cause.title} for cause in todo.opened],
        "changed": [{"cause": cause.key, "number": issue.number} for issue, cause in todo.changed],
        "closed": [{"cause": issue.key, "number": issue.number} for issue in todo.closed],
    }


for inner in (init, matrix, quiet, issues):
    ci.add_command(inner)
