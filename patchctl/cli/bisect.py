"""``patchctl bisect``: which upstream commit or which patch broke it."""

from __future__ import annotations

import os
import re
import sys
import uuid
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command
from patchctl.cli.ui import table
from patchctl.errors import Code, PatchctlError, closest
from patchctl.ledger import digest
from patchctl.report.words import duration

if TYPE_CHECKING:
    from patchctl.bisect.axes import Axes, End
    from patchctl.bisect.noise import Model
    from patchctl.bisect.predicate import Predicate
    from patchctl.bisect.row import Row
    from patchctl.bisect.run import Answer, Bisect, Point, Settings
    from patchctl.bisect.space import State
    from patchctl.bisect.workshop import Plan
    from patchctl.manifest.workspace import StackFile
    from patchctl.smoke.plan import Case
    from patchctl.store import Store

SESSION = "bisect-session"
THRESHOLD = "5%"
SHARE = re.compile(r"([+-]?)(\d+(?:\.\d+)?)\s*(%?)")


@dataclass(frozen=True)
class Asked:
    """What the command line asks for, as the ledger keeps it for ``--continue``."""

    good: str | None = None
    bad: str | None = None
    stack: str | None = None
    patch: str | None = None
    good_base: str | None = None
    bad_base: str | None = None
    variant: str | None = None
    targets: tuple[str, ...] = ()
    test: str | None = None
    metric: str | None = None
    threshold: str | None = None
    match: str | None = None
    until: str | None = None
    confidence: float | None = None
    budget: int | None = None
    jobs: int = 1
    words: tuple[str, ...] = ()
    cwd: str = ""
    fresh: str = ""

    def replay(self) -> list[str]:
        """Return the words that ask the same."""
        named = {
            "--good": self.good, "--bad": self.bad, "--stack": self.stack, "--patch": self.patch,
            "--good-base": self.good_base, "--bad-base": self.bad_base, "--variant": self.variant, "--test": self.test,
            "--bench": self.metric, "--threshold": self.threshold if self.metric else None, "--match": self.match,
            "--until": self.until,
        }  # fmt: skip
        found = [word for name, value in named.items() if value is not None for word in (name, value)]
        found += [word for target in self.targets for word in ("--target", target)]
        return [*found, *(("--", *self.words) if self.words else ())]


@command("bisect")
@click.option("--good", metavar="STACK", help="The stack that is good.")
@click.option("--bad", metavar="STACK", help="The stack that is bad.")
@click.option("--stack", metavar="STACK", help="The stack of both ends, on two bases.")
@click.option("--patch", metavar="ID", help="Only this patch of --stack and what it requires.")
@click.option("--good-base", metavar="REF", help="The base that is good (default: the stack's own).")
@click.option("--bad-base", metavar="REF", help="The base that is bad: 40 digits, bN, branch, tag.")
@click.option("--until", type=click.Choice(["applies", "compiles"]), help="Since when this is no longer so.")
@click.option("--test", metavar="NAME", help="A test of the stack, or probe-ID, instead of a command.")
@click.option("--bench", "metric", metavar="METRIC", help="The command prints this number; repeat until sure.")
@click.option("--threshold", metavar="[+-]P%", help="With --bench: a fall of P is bad, with + a rise (default: 5%).")
@click.option("--match", metavar="REGEX", help="Only a failure that says this is bad; others are skipped.")
@click.option("--confidence", type=click.FloatRange(0.5, 0.9999), help="The test is flaky: repeat until this sure.")
@click.option("--budget", type=click.IntRange(2), metavar="N", help="Give up after this many tests.")
@click.option("--variant", metavar="V", help="The variant to build; not needed when the stack has one.")
@click.option("--target", "targets", multiple=True, metavar="T", help="Build this target only (repeatable).")
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, help="Build and test this many points at once.")
@click.option("--fresh", is_flag=True, help="Believe nothing that was seen before.")
@click.option("--continue", "action", flag_value="continue", help="Go on with the last bisect of this workspace.")
@click.option("--log", "action", flag_value="log", help="Show every point of the last bisect; runs nothing.")
@click.option("--try", "point", metavar="COMMIT:ID,ID", help="Test this one point again (--log names them).")
@click.option("--markdown", is_flag=True, help="Print the answer as Markdown.")
@click.argument("words", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
def bisect(app: App, *, action: str | None, point: str | None, markdown: bool, fresh: bool, **words: Any) -> int:
    """Find the upstream commit, the patch, or the pair that broke it between a good and a bad end.

    COMMAND says 0 for good, 1-124 for bad, 125 for cannot tell. The programs of each build are first on its PATH;
    PATCHCTL_BIN and PATCHCTL_OUT say where they are.

    \b
    patchctl bisect --good b9187 --bad b9300 --variant cpu -- ./check.sh
    patchctl bisect --stack b9187 --bad-base b9500 --test server-boots
    patchctl bisect --stack b9187 --patch mtp-bid-fix --bad-base b9500 --until applies
    patchctl bisect --good b9187 --bad b9300 --bench tg128 --threshold 5% -- ./measure.sh
    patchctl bisect --continue
    """
    if point is not None and (markdown or action == "log"):
        raise PatchctlError(Code.USAGE, f"--try tests one point: {'--markdown' if markdown else '--log'} is for all")
    asked = _asked(app, action, fresh=fresh, words=words)
    made = _make(app, asked, parallel=point is None)
    if point is not None:
        return _try(app, made, point, again=action is None)
    if action == "log":
        return _show_log(app, made, asked, as_markdown=markdown)
    keep_session(app, asked)
    answer = made.run(_ahead(app, made, asked))
    made.workshop.tidy()
    _show(app, made, answer, asked, as_markdown=markdown)
    return answer.code


# --- what is asked for ------------------------------------------------------------------------------------------------


def _asked(app: App, action: str | None, *, fresh: bool, words: dict[str, Any]) -> Asked:
    if action is not None:
        return _last(app, words)
    asked = Asked(**words, cwd=str(Path.cwd()), fresh=uuid.uuid4().hex if fresh else "")
    _check_words(asked)
    return asked


def _last(app: App, words: dict[str, Any]) -> Asked:
    given = [name for name, value in words.items() if value and value != getattr(Asked(), name) and name != "jobs"]
    if given:
        raise PatchctlError(Code.USAGE, "--continue and --log go alone: the last bisect is asked again as it was")
    kept = app.ledger.get(SESSION, _session_key(app))
    if kept is None:
        raise PatchctlError(Code.USAGE, "no bisect was started in this workspace; start one with --good and --bad")
    known = {field.name for field in fields(Asked)}
    values: dict[str, Any] = {}
    for name, value in kept.items():
        if name in known:
            values[name] = tuple(value) if isinstance(value, list) else value
    return Asked(**values)


def _session_key(app: App) -> str:
    return digest("bisect-session", str(app.workspace.root))


def keep_session(app: App, asked: Asked) -> None:
    """Note what is asked for, so that ``--continue`` can ask the same."""
    app.ledger.put(SESSION, _session_key(app), asdict(asked))


def _check_words(asked: Asked) -> None:
    """Refuse what cannot be meant, before anything is read."""
    if (asked.stack is None) == (asked.good is None and asked.bad is None):
        raise PatchctlError(Code.USAGE, "give the ends: --good STACK --bad STACK, or --stack STACK --bad-base REF")
    if asked.stack is None and (asked.good is None or asked.bad is None):
        raise PatchctlError(Code.USAGE, f"--{'bad' if asked.bad is None else 'good'} is missing: give both ends")
    if asked.stack is None and (asked.patch or asked.good_base or asked.bad_base):
        raise PatchctlError(Code.USAGE, "--patch, --good-base and --bad-base are for --stack")
    if asked.stack is not None and asked.bad_base is None:
        raise PatchctlError(Code.USAGE, "--bad-base is missing: on which base is the stack bad?")
    _check_predicate(asked)


def _check_predicate(asked: Asked) -> None:
    given = [name for name, value in (("--until", asked.until), ("--test", asked.test)) if value]
    given += ["COMMAND"] if asked.words else []
    if len(given) != 1:
        what = f"{' and '.join(given)} are" if given else "nothing is"
        why = f"{what} given to tell good from bad; give one of -- COMMAND, --test NAME, --until applies|compiles"
        raise PatchctlError(Code.USAGE, why)
    if asked.metric and not asked.words:
        raise PatchctlError(Code.USAGE, f"--bench {asked.metric} needs -- COMMAND, which prints it")
    if asked.threshold is not None and not asked.metric:
        raise PatchctlError(Code.USAGE, f"--threshold {asked.threshold} is for --bench METRIC: what is measured?")
    if asked.metric and asked.match:
        raise PatchctlError(Code.USAGE, "--match is for failures; a run of --bench that fails is skipped")
    if asked.metric and asked.jobs > 1:
        raise PatchctlError(Code.USAGE, "measurements at once disturb each other: --bench goes without --jobs")
    if asked.until and asked.confidence:
        raise PatchctlError(Code.USAGE, f"--until {asked.until} always says the same: --confidence is for tests")
    if asked.match is not None:
        try:
            re.compile(asked.match)
        except re.error as error:
            raise PatchctlError(Code.USAGE, f"--match {asked.match} is no regular expression: {error}") from error


# --- from words to a bisect -------------------------------------------------------------------------------------------


def _make(app: App, asked: Asked, *, parallel: bool) -> Bisect:
    from patchctl.bisect.axes import Axes
    from patchctl.bisect.run import Bisect
    from patchctl.bisect.workshop import Workshop
    from patchctl.smoke.hardware import detect

    with app.ui.progress("bisect") as show:
        store, good, bad = _ends(app, asked, show)
        plan = _plan(bad.stack, asked)
        predicate = _predicate(asked, bad, plan)
        show("reading upstream's commits")
        axes = Axes(store, good, bad)
    url = bad.stack.stack.upstream.repo
    root = app.cache / "bisect" / digest(url, str(bad.workspace.root))[:12]
    workshop = Workshop(root, plan, store, app.ledger)
    if asked.until != "applies":
        workshop.require()
    hardware = detect().key() if asked.until is None else []
    settings = _settings(asked)
    made = Bisect(axes, workshop, predicate, settings, hardware=hardware)
    made.tell = lambda point, row: _tell(app, made, point, row)
    made.watch = lambda progress: app.ui.detail(f"{progress.step} {progress.done}/{progress.total}")
    if parallel:
        _introduce(app, axes)
    return made


def _ends(app: App, asked: Asked, show: Any) -> tuple[Store, End, End]:
    from patchctl.bisect.axes import make_end
    from patchctl.manifest.workspace import locate

    stacks, workspaces = [], []
    for name in (asked.stack or asked.good or "", asked.stack or asked.bad or ""):
        app.workspace, path = locate(name, Path(asked.cwd))  # --continue may stand in another folder
        stacks.append(app.workspace.load_stack(path))
        workspaces.append(app.workspace)
    urls = {stack.stack.upstream.repo for stack in stacks}
    if len(urls) > 1:
        raise PatchctlError(Code.USAGE, f"the stacks are of different upstreams: {', '.join(sorted(urls))}")
    store = app.store(stacks[1], show)
    bases = [stack.stack.upstream.commit for stack in stacks]
    for at, ref in enumerate((asked.good_base, asked.bad_base)):
        store.ensure_commit(bases[at])
        bases[at] = store.resolve(ref, bases[at]) if ref is not None else bases[at]
    known = stacks[1].stack.patches
    if asked.patch is not None and asked.patch not in known:
        raise PatchctlError(Code.USAGE, f"the stack has no patch {asked.patch!r}{closest(asked.patch, known)}")
    good, bad = (make_end(*end, store, asked.patch) for end in zip(workspaces, stacks, bases, strict=True))
    return store, good, bad


def _plan(stack: StackFile, asked: Asked) -> Plan:
    from patchctl.bisect.workshop import Plan
    from patchctl.ship.variants import unknown_variant

    build = stack.stack.build
    variants = list(build.variants)
    if asked.variant is not None and asked.variant not in variants:
        raise unknown_variant(stack, asked.variant)
    if asked.variant is None and len(variants) > 1 and asked.until != "applies":
        named = " | ".join(variants)
        raise PatchctlError(Code.USAGE, f"the stack has several variants; say which: --variant {named}")
    return Plan(build, asked.variant or variants[0], asked.targets, asked.jobs)


def _predicate(asked: Asked, bad: End, plan: Plan) -> Predicate:
    from patchctl.bisect.predicate import CommandTest, Measurement, SmokeTest, Until

    if asked.until is not None:
        return Until(asked.until, asked.match)
    if asked.test is not None:
        return SmokeTest(_case(bad, asked.test), asked.match)
    _require_program(asked.words[0], Path(asked.cwd), plan)
    if asked.metric is not None:
        return Measurement(asked.words, Path(asked.cwd), asked.metric)
    return CommandTest(asked.words, Path(asked.cwd), asked.match)


def _require_program(word: str, cwd: Path, plan: Plan) -> None:
    """Raise PatchctlError (exit code 9) before anything is built when there can be no such program."""
    from patchctl.bisect.predicate import find_program

    built = {*plan.targets, *plan.build.targets}
    if os.sep not in word and word in built:
        return
    if find_program(word, cwd) is not None:
        return
    why = f"there is no program {word}; the builds have: {', '.join(sorted(built))}"
    if os.sep in word and (cwd / word).is_file():
        why = f"{word} is there, but is not executable; make it so: chmod +x {word}"
    raise PatchctlError(Code.ENVIRONMENT, why)


def _case(bad: End, name: str) -> Case:
    from patchctl.smoke.plan import Case, general_names, general_test, stack_cases

    cases = {case.test.name: case for case in stack_cases(bad.workspace, bad.stack)}
    if name in cases:
        return cases[name]
    if name in general_names():
        from patchctl.smoke.plan import GENERAL

        return Case(general_test(name), GENERAL)
    known = [*cases, *general_names()]
    near = closest(name, known) or f"; there are: {', '.join(known)}"
    raise PatchctlError(Code.USAGE, f"there is no test {name}{near}")


def _settings(asked: Asked) -> Settings:
    from patchctl.bisect.noise import Flaky
    from patchctl.bisect.run import Settings

    model: Model = Flaky()
    confidence = asked.confidence
    if asked.metric is not None:
        from patchctl.bisect.noise import Measured

        model = Measured(*_threshold((THRESHOLD if asked.threshold is None else asked.threshold).strip()))
        confidence = confidence or 0.95
    return Settings(confidence, asked.budget, model, asked.fresh)


def _threshold(word: str) -> tuple[int, float]:
    """Return whether more is worse (1) or less (-1), and the share."""
    found = SHARE.fullmatch(word)
    if found is None or not 0 < float(found[2]) < 100:
        raise PatchctlError(Code.USAGE, f"--threshold {word} is no share such as 5%, -5% or +5%")
    sign, number, percent = found.groups()
    if float(number) < 1 and not percent:
        either = f"{sign}{100 * float(number):g}% or {word}%"
        raise PatchctlError(Code.USAGE, f"--threshold {word} could be {either}; say which")
    return (1 if sign == "+" else -1), float(number) / 100


# --- points at once ---------------------------------------------------------------------------------------------------


def _ahead(app: App, made: Bisect, asked: Asked) -> Any:
    """Return what tests several points at once, each in a process of its own; None when one at a time is wanted."""
    if asked.jobs == 1 or asked.until == "applies":  # a process of its own takes longer than that
        return None
    from patchctl.bisect.ahead import Ahead

    words = [sys.executable, "-m", "patchctl", "bisect", "-q", "--json", "--continue", "--try"]
    return Ahead(made, words, app.cache / "bisect" / "ahead").look


# --- one point --------------------------------------------------------------------------------------------------------


def _try(app: App, made: Bisect, word: str, *, again: bool) -> int:
    """Test one point: ``again`` replaces what was seen first, else it is the look that comes next."""
    state: State = made.axes.state(word)
    row = made.look(state, 0 if again else made.looks_known(state))
    app.ui.say(f"{made.axes.label(state)}  {row.verdict}  {row.detail}")
    app.ui.result({"point": word, "label": made.axes.label(state), **asdict(row)})
    return {"good": Code.OK, "bad": Code.TEST, "skip": Code.SKIP}[row.verdict]


# --- on screen --------------------------------------------------------------------------------------------------------


def _introduce(app: App, axes: Axes) -> None:
    space = axes.space
    changed = len(space.good ^ space.bad)
    what = f"{space.steps} upstream commits" if space.steps else "one base"
    patches = f", {changed} patch{'' if changed == 1 else 'es'} that differ" if changed else ""
    good, bad = axes.build(0), axes.build(space.steps)
    app.ui.note(f"b{good} good, b{bad} bad: {what}{patches}{'' if axes.forward else ', back in time'}")


def _tell(app: App, made: Bisect, point: Point, row: Row) -> None:
    took = f"  built in {duration(row.built)}" if row.built else ""
    again = f"  look {len(point.rows)}" if len(point.rows) > 1 else ""
    known = "" if point.taken else "  known"
    verdict = f"{row.verdict}  " if row.value is None else ""  # one number is no verdict
    app.ui.note(f"  {made.axes.label(point.state)}  {verdict}{row.detail}{again}{took}{known}")


def _show(app: App, made: Bisect, answer: Answer, asked: Asked, *, as_markdown: bool) -> None:
    from patchctl.bisect import answer as words

    replay = asked.replay()
    if as_markdown:
        app.ui.say(words.markdown(made, answer, replay))
    else:
        app.ui.say(words.headline(made.axes, answer))
        for line in (*words.details(made.axes, answer.found), *words.notes(made, answer)) if answer.found else ():
            app.ui.say(f"  {line}")
        sure = f"; {told}" if answer.found and (told := words.sure(made, answer)) else ""
        app.ui.say(f"{words.done(made)}, {duration(words.totals(made)['seconds'])}{sure}")
    found = words.as_object(made, answer, replay)
    for release in {end.stack.stack.release for end in (made.axes.good, made.axes.bad)}:
        app.ledger.put("bisect", release, found)  # for the report of that release
    if app.ui.as_json:
        app.ui.result(found)


def _show_log(app: App, made: Bisect, asked: Asked, *, as_markdown: bool) -> int:
    """Show what the ledger knows of the last bisect; what it does not know is where it would go on."""
    from patchctl.bisect import answer as words
    from patchctl.bisect.run import Answer

    answer = made.known()
    replay = asked.replay()
    unfinished = Answer(None, 0.0, made.evidence.certain, "not finished", Code.ATTENTION, unknown=True)
    if as_markdown:
        app.ui.say(words.markdown(made, answer or unfinished, replay))
    else:
        _say_log(app, made, answer, replay)
    if app.ui.as_json:
        app.ui.result(words.as_object(made, answer or unfinished, replay))
    return Code.OK


def _say_log(app: App, made: Bisect, answer: Answer | None, replay: list[str]) -> None:
    from patchctl.bisect import answer as words

    rows = []
    for point in words.in_order(made):
        first = point.rows[0]
        looks = f"{len(point.rows)} looks" if len(point.rows) > 1 else ""
        rows.append([made.axes.label(point.state), words.judged(made, point), looks, first.detail, first.log])
        rows.append(["", "", "", words.replay_line(made, point, replay)])
    for line in table(rows):
        app.ui.say(line)
    app.ui.say(words.headline(made.axes, answer) if answer else "not finished; go on with: patchctl bisect --continue")
