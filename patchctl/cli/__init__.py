"""The command line. Commands are loaded when they are called, so that ``patchctl --help`` stays fast."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys

import click

from patchctl import __version__
from patchctl.cli.ui import echo, hang_up, write
from patchctl.errors import Code, InvalidError
from patchctl.text import one_line, redacted

COMMANDS = {
    "init": "start a workspace: folders, an example stack",
    "status": "what upstream did to each patch, and what can go",
    "lint": "find what is wrong with manifests, pages and patches",
    "lock": "resolve a stack and write its lock",
    "check": "judge every patch of a stack in memory, one row each",
    "apply": "apply a stack in a worktree you can open",
    "import": "patches from a file, a commit, a pull request, a queue, a fork's branch",
    "edit": "change one patch in the middle of its stack, or start a new one",
    "refresh": "new revisions for patches that were made for another base",
    "repin": "the next release's stack: without what landed, with what moved made anew",
    "forecast": "the upstream commits that break or absorb a patch",
    "build": "apply, configure, compile, install, smoke",
    "run": "run something with what was built",
    "smoke": "run the tests on binaries already built",
    "bench": "measure what was built, against the base or another stack",
    "report": "what is known about a stack, as HTML, Markdown, JUnit XML, JSON",
    "export": "the patches of a stack as one mbox, a quilt series or numbered mails",
    "bundle": "the patched source, lock and build recipe as one file",
    "bisect": "which upstream commit or which patch broke it",
    "package": "relocatable binaries with licences, checksums and release notes",
    "publish": "push a stack as a branch, one commit a patch, and a tag",
    "model": "make tiny test models; say what a GGUF holds",
    "ci": "workflows for GitHub: checks, nightly look at upstream, build matrix",
    "doctor": "what this machine can build, and how to get what is missing",
    "cache": "what the cache holds, and how to free it",
}

KEYWORDS = {"import": "import_"}  # Python keeps the word for itself


class Commands(click.Group):
    """Finds a command by importing ``patchctl.cli.<name>`` only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of a working day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the command, or None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        name = KEYWORDS.get(cmd_name, cmd_name)
        command: click.Command = getattr(importlib.import_module(f"patchctl.cli.{name}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for a mistyped one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from patchctl.errors import closest

            raise click.UsageError(f"there is no command {args[0]!r}{closest(args[0], list(COMMANDS))}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="patchctl")
def cli() -> None:
    """Keep a stack of patches alive on a fast upstream.

    \b
    patchctl init                       a workspace with a stack to try
    patchctl build stacks/demo.yaml     apply, build and test it
    """


def main() -> None:
    """Run the command line; every failure becomes one clear message and the exit code of its kind."""
    _fill_standard_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
            signal.signal(number, _end)
    sys.exit(run_words(sys.argv[1:]))


class EndedError(KeyboardInterrupt):
    """Somebody asked patchctl to end: cleaned up after as after ctrl-C, with the exit code of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


def _end(number: int, _frame: object) -> None:
    raise EndedError(number)


def _fill_standard_streams() -> None:
    """Let closed standard streams lead nowhere; the next file that is opened would take their place."""
    for number in (0, 1, 2):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def run_words(words: list[str]) -> int:
    """Run one command line and return its exit code."""
    stdout = sys.stdout
    try:
        # Without standalone mode click returns the exit code a command asked for.
        code = cli.main(args=words or ["--help"], prog_name="patchctl", standalone_mode=False)
    except SystemExit as error:
        # click wraps the stream when its own text (help, version) finds nobody listening.
        return _exit_code(error) if sys.stdout is stdout else hang_up(stdout)
    except BaseException as error:  # noqa: BLE001 - the one place that turns failures into words
        return _explain(error, as_json=_wants_json(words))
    return code if isinstance(code, int) else Code.OK


def _wants_json(words: list[str]) -> bool:
    return "--json" in words[: words.index("--") if "--" in words else None]


def _explain(error: BaseException, *, as_json: bool) -> int:
    """Show what went wrong, in one line where one is enough, and return the exit code of its kind."""
    code, words = _words(error)
    with contextlib.suppress(OSError):  # a full disk where the output goes is no reason to forget the code
        if words and as_json:
            write(_object(error, code, words.removeprefix("error: ")))
        if words:
            echo(words, err=True)
    return code


def _object(error: BaseException, code: int, words: str) -> str:
    import json

    message = redacted(error.format_message() if isinstance(error, click.ClickException) else words)
    problems = [vars(problem) for problem in error.problems] if isinstance(error, InvalidError) else []
    found = {"code": int(code), "message": message, "problems": problems}
    return json.dumps({"schema_version": 1, "error": found}, indent=2, ensure_ascii=False)


def _words(error: BaseException) -> tuple[int, str]:
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        asked = error if isinstance(error, EndedError) else error.__cause__
        code = asked.code if isinstance(asked, EndedError) else Code.INTERRUPTED
        return code, "interrupted; the same command goes on where this one stopped"
    if type(error).__name__ == "NoArgsIsHelpError":  # a group without a command; not in click before 8.2
        return Code.USAGE, str(error)
    if isinstance(error, click.UsageError):
        usage = f"{error.ctx.get_usage()}\n" if error.ctx else ""
        return Code.USAGE, f"{usage}error: {error.format_message()}"
    if isinstance(error, click.ClickException):
        found = [one_line(str(problem)) for problem in error.problems] if isinstance(error, InvalidError) else []
        return error.exit_code, "\n".join(found) or f"error: {error.message}"
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return Code.ENVIRONMENT, f"error: {error.strerror or error}{where}"
    return Code.UNEXPECTED, f"error: unexpected: {error!r}; the details are in {_crash_log(error)}"


def _exit_code(error: SystemExit) -> int:
    return error.code if isinstance(error.code, int) else Code.UNEXPECTED if error.code else Code.OK


def _crash_log(error: BaseException) -> str:
    import platform
    import tempfile
    import traceback
    from pathlib import Path

    details = "".join(traceback.format_exception(error))
    text = f"patchctl {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n{details}"
    handle, name = tempfile.mkstemp(prefix="patchctl-crash-", suffix=".log")
    with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 - the handle mkstemp opened
        file.write(redacted(text))
    return str(Path(name))
