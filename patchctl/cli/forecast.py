"""``patchctl forecast``: the upstream commits that break a patch, absorb it, or let it apply again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command, stack_argument
from patchctl.cli.ui import outcome, table
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from patchctl.manifest.workspace import StackFile
    from patchctl.series.sequence import Series
    from patchctl.upstream.breaks import Break, Tried
    from patchctl.upstream.forecast import Event, Forecast

SHOWN = 2  # conflicting paths named in one line; --json has all
Same = tuple[str, str | None, str, str, tuple[str, ...]]


@command("forecast")
@stack_argument
@click.option("--to", metavar="REF", help="Up to this commit of upstream: 40 digits, bN, branch, tag; else the newest.")
@click.option("--compiles", is_flag=True, help="Also search for where what applies stops to compile; in a sandbox.")
@click.option("--variant", metavar="V", help="Compile this variant; else the first that this machine can build.")
@click.option("--no-sandbox", is_flag=True, help="Compile without a sandbox: you trust upstream and these patches.")
def forecast(app: App, *, name: str, to: str | None, compiles: bool, **how: Any) -> int:
    """Find every upstream commit after the base of STACK at which a patch starts or stops to conflict or is absorbed.

    The answer is that of trying every commit. It is kept: asked again it costs nothing, and for a newer commit only
    what came since. Ended at any time, it goes on where it was.

    \b
    patchctl forecast stacks/b9187.yaml
    patchctl forecast b9187 --to b9500
    patchctl forecast b9187 --to b9300 --compiles
    """
    from patchctl.series.resolve import load_patches
    from patchctl.series.sequence import Series
    from patchctl.upstream.forecast import compute

    if not compiles and any(how.values()):
        raise PatchctlError(Code.USAGE, "--variant and --no-sandbox belong to --compiles")
    stack = app.stack(name)
    with app.ui.progress(f"{stack.stack.release}: forecast") as show:
        store = app.store(stack, show)
        base = stack.stack.upstream.commit
        store.ensure_commit(base)
        end = store.resolve(to or "HEAD", base)
        patches = load_patches(app.workspace, stack, store, base)
        series = Series(store, patches, allow=stack.stack.policy.allow)
        found = compute(series, base, end, lambda done, of: show(f"{done} of {of} commits"))
    _show(app, stack, found)
    broken = _breaks(app, stack, series, found, **how) if compiles else None
    app.ui.result({"stack": stack.stack.release, **_object(found), "compiles": broken})
    return Code.OK


def _breaks(
    app: App, stack: StackFile, series: Series, found: Forecast, *, variant: str | None, no_sandbox: bool
) -> dict[str, Any]:
    """Search for where what applies stops to compile, and tell; returns it as plain data."""
    from patchctl.cli.gated import Gate
    from patchctl.upstream.breaks import breaks, stretches
    from patchctl.upstream.line import Landed, line

    store = series.store
    base = Landed(found.base, store.tree_of(found.base), found.base_build, "", "")
    parts = stretches(found, [base, *line(store, found.base, found.to)])
    gate = Gate(app, stack, series, variant, boxed=not no_sandbox)
    made = []
    with app.ui.progress(f"{stack.stack.release}: compile gate") as show:

        def tried(landed: Landed, ids: tuple[str, ...]) -> Tried:
            show(f"b{landed.build}")
            return gate(landed, ids)

        made = list(breaks(parts, tried))
    for one in made:
        app.ui.say(_broken(one))
    if not made:
        app.ui.say(f"where patches apply, they compile at both ends ({gate.variant}); found by search, not everywhere")
    return {"variant": gate.variant, "by": "search", "breaks": [_break(one) for one in made]}


def _broken(one: Break) -> str:
    first = one.detail.splitlines()[0] if one.detail else ""
    since = f"between b{one.good.build} and b{one.bad.build}" if one.good else f"by b{one.bad.build}"
    since = f"at b{one.bad.build}" if one.exact else since
    who = f"{one.bad.oid[:9]} {one.bad.author}: {one.bad.subject}" if one.exact and one.good else ""
    return f"stops to compile {since} (found by search)  {'  '.join(filter(None, (who, first)))}"


def _break(one: Break) -> dict[str, Any]:
    ends = {name: {"commit": end.oid, "build": end.build, "subject": end.subject, "author": end.author, "pr": end.pr}
            if end else None for name, end in (("good", one.good), ("bad", one.bad))}  # fmt: skip
    return {**ends, "exact": one.exact, "patches": list(one.patches), "detail": one.detail}


def _show(app: App, stack: StackFile, found: Forecast) -> None:
    count = len(stack.stack.patches)
    ends = f"from b{found.base_build} to b{found.to_build} ({found.to[:9]})"
    app.ui.say(f"{stack.stack.release}  {ends}: {_of(found.commits, 'commit')}, {_of(count, 'patch')}")
    for line in table(_rows(found)):
        app.ui.say(line)
    if not found.events:
        app.ui.say("  nothing starts or stops to conflict, and nothing is absorbed")
    app.ui.say(_end(found))
    share = 100 * found.applications / max(found.commits * count, 1)
    app.ui.detail(f"{found.applications} applications were tried, {share:.1f} % of commits x patches")


def _end(found: Forecast) -> str:
    """Return how many patches of the stack stand in which way on the last commit."""
    from patchctl.upstream.outlook import Standing

    standings = [Standing.of(fate.outcome) for fate in found.end.sequence.values()]
    words = {"applies": ("applies", "apply"), "absorbed": ("is absorbed", "are absorbed"),
             "conflict": ("conflicts", "conflict"), "blocked": ("is blocked", "are blocked")}  # fmt: skip
    counts = {word: standings.count(Standing(word)) for word in words}
    said = ", ".join(f"{count} {words[word][count > 1]}" for word, count in counts.items() if count)
    return f"on b{found.to_build}: {said or 'no patches'}"


def _rows(found: Forecast) -> list[list[str]]:
    """Return a line for each change; one that happens alone and in the stack alike is told once."""
    merged: dict[Same, list[Event]] = {}
    for one in found.events:
        same = (one.commit, one.patch, one.before.value, one.after.value, one.conflicts)
        merged.setdefault(same, []).append(one)
    rows = [(events[0], _where(events)) for events in merged.values()]
    return [_row(event, where) for event, where in sorted(rows, key=lambda row: row[0].build)]


def _where(events: list[Event]) -> str:
    if len(events) > 1 or events[0].patch is None:
        return ""
    return "alone" if events[0].alone else "in the stack"


def _row(event: Event, where: str) -> list[str]:
    named = f"#{event.pr}" if event.pr else event.commit[:9]
    paths = ", ".join(event.conflicts[:SHOWN]) + ("…" if len(event.conflicts) > SHOWN else "")
    who = f"{event.author}: {event.subject}"
    what = outcome(event.after.value)
    return [f"b{event.build}", named, event.patch or "(the stack)", what, "  ".join(filter(None, (where, paths))), who]


def _of(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 'es' if what.endswith('ch') else 's'}"


def _object(found: Forecast) -> dict[str, Any]:
    record = found.record()
    base = {"commit": record.pop("base"), "build": record.pop("base_build")}
    to = {"commit": record.pop("to"), "build": record.pop("to_build")}
    return {"base": base, "to": to, **record}
