"""Facts about the patches of a stack against one base of upstream.

Those from git need no token and no request; they are kept in the ledger, so asking again starts no process. The ways
to prove a landing, and how often each is right on llama.cpp's own history, are measured by ``benchmarks/landing.py``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.ledger import digest
from patchctl.series.judge import Outcome
from patchctl.series.patch import closure
from patchctl.series.turning import Turning
from patchctl.upstream import landing, numbers
from patchctl.upstream.coverage import covered
from patchctl.upstream.objects import Objects
from patchctl.upstream.states import states
from patchctl.upstream.twins import Twins
from patchctl.upstream.verdict import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from patchctl.manifest.model import Page
    from patchctl.series.patch import Patch
    from patchctl.series.sequence import Series
    from patchctl.upstream.history import Changed, Commit, History
    from patchctl.upstream.landing import Claim
    from patchctl.upstream.pull import Pull

RECIPE = 7  # raise it when the same input would give other evidence


@dataclass(frozen=True)
class Question:
    """One patch against one base; ``pull`` is what GitHub says of the pull request that its page names, if asked."""

    patch: Patch
    page: Page
    base: str
    pull: Pull | None = None


class Detectors:
    """Everything that looks for the patches of a stack in the history of one base."""

    def __init__(self, series: Series, history: History) -> None:
        self.series = series
        self.store = series.store
        self.history = history
        self.objects = Objects(self.store)
        self._twins = Twins(self.objects, history)

    def gather(self, question: Question) -> list[Evidence]:
        """Return what is known about one patch, proof first; see ``gather_all``."""
        return self.gather_all([question])[0]

    def gather_all(self, questions: Sequence[Question]) -> list[list[Evidence]]:
        """Return what is known about each patch, proof first.

        Raises PatchctlError when upstream's objects cannot be had.
        """
        from_git = self._kept("git", questions, [replace(question, pull=None) for question in questions], self._look)
        told = [question for question in questions if question.pull is not None]
        from_pulls = iter(self._kept("pull", told, told, self._look_further))
        pairs = zip(questions, from_git, strict=True)
        return [[*(next(from_pulls) if question.pull else ()), *found] for question, found in pairs]

    def _kept(
        self,
        kind: str,
        questions: Sequence[Question],
        asked: Sequence[Question],
        look: Callable[[Question], Iterable[Evidence]],
    ) -> list[list[Evidence]]:
        """Return what ``look`` finds for each question, from the ledger where it was ``asked`` before."""
        keys = [self._key(kind, question) for question in asked]
        kept = self.store.ledger.get_many("evidence", keys)
        new = [(key, question) for key, question in zip(keys, questions, strict=True) if key not in kept]
        if new:
            self._prepare([question for _, question in new])
            found = {key: _as_far_as_can_be(look(question)) for key, question in new}
            made = {key: [asdict(one) for one in some] for key, (some, _) in found.items()}
            self.store.ledger.put_many("evidence", {key: some for key, some in made.items() if found[key][1]})
            kept |= made
        return [[Evidence(**{**one, "kind": Kind(one["kind"])}) for one in kept[key]] for key in keys]

    def _key(self, kind: str, question: Question) -> str:
        page = question.page
        declared = [part and part.model_dump() for part in (page.upstream, page.drop_when, page.from_)]
        stack = [patch.sha256 for patch in self.series.stack]
        pull = question.pull and question.pull.record()
        sums = (question.patch.sha256, declared, stack, pull)
        return digest("evidence", kind, RECIPE, self.store.birth, self.store.url, question.base, *sums)

    def _prepare(self, questions: Sequence[Question]) -> None:
        """Bring what all the questions need, in as few requests as there are kinds of things."""
        needed: list[str] = []
        for question in questions:
            patch = question.patch
            trees = [self.store.tree_of(question.base), *filter(None, [self._own_tree(patch)])]
            for claim in landing.claims(self.history, self.store.url, question.page, question.pull):
                trees += landing.before_and_after(self.store, claim.commit) or ()
            needed += self.objects.needed(patch, *trees)
        needed += self._twins.look_for([question.patch for question in questions])
        self.objects.bring(needed)

    def _own_tree(self, patch: Patch) -> str | None:
        base = patch.revision.base_commit
        if base is None:
            return None
        try:
            self.store.ensure_commit(base)
        except PatchctlError:
            return None
        return self.store.repo.tree_of(base)

    def _look(self, question: Question) -> Iterator[Evidence]:
        declared = list(self._declared(question))
        yield from declared
        if any(one.kind is Kind.DECLARED for one in declared):
            return
        landed = list(self._landed(question))
        yield from landed
        yield from numbers.clashes(self.objects, question.patch, self.store.repo.tree_of(question.base))
        # What a landing has proved, later edits of upstream can only hide.
        if not any(one.kind in {Kind.DECLARED, Kind.LANDED} for one in landed):
            yield from self._content(question)

    # --- what the page declares -----------------------------------------------------------------------------------

    def _declared(self, question: Question) -> Iterator[Evidence]:
        """Look for the commit that the author named as the patch's replacement; later edits do not matter."""
        wanted = question.page.drop_when.commit if question.page.drop_when else None
        if question.page.from_ is not None:
            wanted = wanted or question.page.from_.commit
        if wanted is None:
            return
        commit = self.history.get(wanted)
        if commit is None:
            try:
                self.store.ensure_commit(wanted)
            except PatchctlError as error:
                yield Evidence(Kind.MISSING, wanted, None, f"drop_when.commit: {error.message}")
            return
        undone = self.history.reverted_by(wanted)
        if undone is not None:
            yield reverted(commit, undone)
            return
        yield Evidence(Kind.DECLARED, wanted, commit.build, f"landed as {commit.named}")

    def _landed(self, question: Question) -> Iterator[Evidence]:
        """Look at the commits that claim to be the patch's landing, and compare there, not at the base."""
        yield from self._weighed(question, landing.claims(self.history, self.store.url, question.page, None))

    def _weighed(self, question: Question, claims: Iterable[Claim]) -> Iterator[Evidence]:
        for claim in claims:
            undone = self.history.reverted_by(claim.commit.oid)
            standing = [claim] if undone is None else landing.again(self.history, claim)
            if undone is not None and claim.own:
                yield reverted(claim.commit, undone)
            if undone is None and claim.itself and _waits_for_it(question.page):
                detail = f"landed as {claim.commit.named}, {claim.why}, for which the page waits"
                yield Evidence(Kind.DECLARED, claim.commit.oid, claim.commit.build, detail)
                continue
            for one in standing:
                yield from landing.weighed(self.series, self.objects, question.patch, one, question.base)

    # --- what GitHub tells ----------------------------------------------------------------------------------------

    def _look_further(self, question: Question) -> Iterator[Evidence]:
        """Look at the commits that only GitHub connects with the patch, and say what state its pull request is in."""
        page, url = question.page, self.store.url
        seen = {claim.commit.oid for claim in landing.claims(self.history, url, page, None)}
        told = landing.claims(self.history, url, page, question.pull)
        yield from self._weighed(question, [claim for claim in told if claim.commit.oid not in seen])
        yield from states(question.pull, self.history) if question.pull else ()

    # --- what the trees say ---------------------------------------------------------------------------------------

    def _content(self, question: Question) -> Iterator[Evidence]:
        signs = list(self._signs(question))
        yield from signs
        if self.series.reverses(question.patch, self.store.repo.tree_of(question.base)):
            yield Evidence(Kind.REVERSES, None, None, "taken backwards it applies to the base, which proves nothing")
        if not signs and landing.asked_for(question.page) is None and not _declares(question.page):
            yield from self._broken(question)

    def _signs(self, question: Question) -> Iterator[Evidence]:
        patch = question.patch
        same = self._twins.of(patch)
        if same is not None:
            yield Evidence(Kind.PATCH_ID, same.oid, same.build, f"{same.named} makes the same change")
        tree, own = self.store.repo.tree_of(question.base), self._own_tree(patch)
        # What takes back another patch of the stack brings nothing to any base, its own included.
        if self._absorbed(patch, tree) and not (own and self._absorbed(patch, own)):
            yield Evidence(Kind.ABSORBED, None, None, "merged with the base it brings nothing")
        if own is not None and covered(self.objects, patch.revision.changes, own, tree):
            yield Evidence(Kind.COVERAGE, None, None, "the lines it adds stand in the base")

    def _broken(self, question: Question) -> Iterator[Evidence]:
        """Name the commit that breaks a patch of which the page says no origin: nothing else would ever tell of it.

        That it does not apply is no sign that it landed; but who changed its very lines may have done the same.
        """
        patch, made_on = question.patch, self.history.get(question.patch.revision.base_commit or "")
        if made_on is None:
            return
        under = closure([patch.id], self.series.stack)
        step = self.series.sequence(question.base, under)[-1]
        if step.outcome is not Outcome.CONFLICT or not step.conflicts:
            return
        changes = self.history.changes(made_on)
        touching = self._touching(changes, step.conflicts[0], made_on)
        paths = {path for one in under for path in one.revision.paths}
        self.objects.bring(it.new for oid in touching for it in changes[oid] if it.new and it.path in paths)
        oid = Turning(self.series, patch, made_on.oid, question.base).point(touching, step.conflicts[0])
        commit = self.history.get(oid) if oid else None
        if commit is not None:
            pull = f", #{commit.landed[1]}" if commit.landed and not commit.landed[0] else ""
            detail = f"{commit.named}{pull} changed its lines; does it do the same?"
            yield Evidence(Kind.BROKEN, commit.oid, commit.build, detail)

    def _touching(self, changes: Mapping[str, Sequence[Changed]], path: str, since: Commit) -> list[str]:
        """Return the commits after ``since`` that changed a path, oldest first."""
        found = [self.history.get(oid) for oid, changed in changes.items() if any(one.path == path for one in changed)]
        return [commit.oid for commit in found if commit is not None and commit.build > since.build]

    def _absorbed(self, patch: Patch, tree: str) -> bool:
        return self.series.judge(patch, tree).outcome is Outcome.ABSORBED


def _declares(page: Page) -> bool:
    """Return whether a page names a commit whose landing retires the patch."""
    return page.from_ is not None or bool(page.drop_when and page.drop_when.commit)


def _waits_for_it(page: Page) -> bool:
    """Return whether a page says that the landing of a pull request, whatever is in it, retires the patch."""
    return bool(page.drop_when and page.drop_when.pr)


def _as_far_as_can_be(looking: Iterable[Evidence]) -> tuple[list[Evidence], bool]:
    """Return what is found, and whether that is all: where an object is in no copy at hand the answer is unknown."""
    found: list[Evidence] = []
    try:
        found.extend(looking)
    except PatchctlError as error:
        if error.exit_code == Code.NETWORK:
            raise
        found.append(Evidence(Kind.MISSING, None, None, f"cannot be judged: {error.message.splitlines()[0]}"))
        return found, False
    return found, True


def reverted(commit: Commit, undone: Commit) -> Evidence:
    """Return the evidence that ``undone`` took ``commit`` back."""
    return Evidence(Kind.REVERTED, undone.oid, undone.build, f"{commit.named} was reverted by {undone.named}")
