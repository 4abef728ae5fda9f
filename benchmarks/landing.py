"""How often a landing is found and proved, on real history: squash-merged pull requests chosen at random.

    python benchmarks/landing.py UPSTREAM.git URL --seed 1 --count 300

UPSTREAM.git is a copy of upstream with its ``refs/pull/*/head``. Each pull request whose number exactly one subject of
the branch ends with becomes a patch: its own commits since it left upstream, squashed. Asked are patchctl's own
detectors, at the newest commit: each patch with its number (found and proved, and at the right commit?), then some
with the number of another pull request (anything proved is wrong). What was taken back since counts for itself. Plain
git is asked besides: does the head, merged onto the landing's parent, give the landing's tree?
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common import run, table

from patchctl.errors import PatchctlError
from patchctl.git import COUNTER
from patchctl.ledger import Ledger
from patchctl.manifest.model import Origin, Page
from patchctl.series.patch import Patch
from patchctl.series.revise import export_line, with_trailers
from patchctl.series.sequence import Series
from patchctl.store import Store
from patchctl.upstream.evidence import Detectors, Question
from patchctl.upstream.history import History
from patchctl.upstream.pull import repository
from patchctl.upstream.verdict import Kind, decide

if TYPE_CHECKING:
    from patchctl.upstream.history import Commit
    from patchctl.upstream.verdict import Evidence

WHO = "Ada Author <ada@example.invalid> 1700000000 +0000"


@dataclass(frozen=True)
class Case:
    """One pull request as a patch, and the commit whose subject ends with its number (None: there is none)."""

    number: int
    patch: Patch
    landed: Commit | None


class Trial:
    """Everything that is asked about one upstream."""

    def __init__(self, mirror: Path, url: str, branch: str, cache: Path) -> None:
        self.mirror = mirror
        self.url = url
        self.store = Store(url, str(mirror), cache, Ledger(cache / "ledger.sqlite"))
        self.tip = self.store.resolve(branch)
        self.history = History(self.store, self.tip)

    def numbers(self) -> list[int]:
        """Return the pull requests that exactly one subject names and whose head is there."""
        listed = run("git", "for-each-ref", "--format=%(refname)", "refs/pull", cwd=self.mirror).decode().split()
        there = sorted(int(ref.split("/")[2]) for ref in listed if ref.endswith("/head"))
        named = Counter(landed[1] for commit in self.history.commits if (landed := commit.landed) and not landed[0])
        return [number for number in there if named[number] == 1]

    def cases(self, numbers: list[int]) -> list[Case]:
        """Return the pull requests as patches; one without a change of its own is none."""
        heads = self.store.pull_heads(numbers)
        forks, wanted = {}, []
        for number, head in heads.items():
            landed = next(iter(self.history.landings(number)), None)
            before = self.store.repo.parents_of(landed.oid)[0] if landed else self.tip
            fork = self.store.repo.run("merge-base", head, before, accept=(0, 1)).text()
            if fork:
                forks[number] = (fork, head, landed)
                words = ("diff-tree", "-r", "--raw", "--no-abbrev", "--no-renames", fork, head)
                wanted += [oid for line in self.store.repo.run(*words).text().splitlines() for oid in line.split()[2:4]]
        self.store.ensure_blobs({oid for oid in wanted if oid.strip("0")})
        made = (self._case(number, *found) for number, found in forks.items())
        return [case for case in made if case is not None]

    def _case(self, number: int, fork: str, head: str, landed: Commit | None) -> Case | None:
        repo = self.store.repo
        if repo.tree_of(fork) == repo.tree_of(head):
            return None
        text = f"tree {repo.tree_of(head)}\nparent {fork}\nauthor {WHO}\ncommitter {WHO}\n\npull request {number}\n"
        try:
            mail = export_line(self.store, fork, repo.write("commit", text.encode()))[0]
            patch = Patch(f"pr-{number}", None, f"pr-{number}", with_trailers(mail, fork, []))
            _ = patch.revision
        except PatchctlError as error:
            print(f"  #{number} is no patch: {error.message.splitlines()[0][:100]}")
            return None
        return Case(number, patch, landed)

    def ask(self, case: Case, number: int | None) -> list[Evidence]:
        """Return the evidence about a patch whose page names ``number``."""
        origin = Origin(pr=f"{repository(self.url)}#{number}") if number else None
        detectors = Detectors(Series(self.store, [case.patch]), self.history)
        return detectors.gather(Question(case.patch, Page(title=case.patch.id, upstream=origin), self.tip))

    def merges_to_the_landing(self, case: Case, head: str) -> bool:
        """Return what plain git says: merged onto the landing's parent, the head gives the landing's tree."""
        if case.landed is None:
            return False
        parent, repo = self.store.repo.parents_of(case.landed.oid)[0], self.store.repo
        words = ("merge-tree", "--write-tree", "--no-messages", parent, head)
        return repo.run(*words, accept=(0, 1), lazy=True).text().split("\n")[0] == repo.tree_of(case.landed.oid)


def merged(trial: Trial, cases: list[Case]) -> list[list[object]]:
    """Ask with the right number; print what is not proved."""
    heads = trial.store.pull_heads(case.number for case in cases)
    how: Counter[str] = Counter()
    for case in cases:
        evidence = trial.ask(case, case.number)
        proof = next((one for one in evidence if one.kind is Kind.LANDED), None)
        plain = trial.merges_to_the_landing(case, heads[case.number])
        right = proof is not None and case.landed is not None and proof.commit == case.landed.oid
        back = not proof and any(one.kind is Kind.REVERTED for one in evidence)
        how["proved" if right else "wrong" if proof else "taken back" if back else "missed"] += 1
        how["plain git agrees"] += plain
        how["proved, plain git does not"] += bool(right and not plain)
        how[f"by: {proof.detail.rsplit(', ', 1)[1]}" if proof else "by: nothing"] += 1
        if not right:
            print(f"  #{case.number}: {decide(evidence)[0].value}: {decide(evidence)[1][:230]}")
    return [[name, count, f"{100 * count / len(cases):.1f} %"] for name, count in sorted(how.items())]


def swapped(trial: Trial, cases: list[Case]) -> list[list[object]]:
    """Ask with the number of the next one; whatever is proved is wrong."""
    wrong = 0
    for case, other in zip(cases, cases[1:] + cases[:1], strict=True):
        proof = [one.detail for one in trial.ask(case, other.number) if one.kind is Kind.LANDED]
        wrong += bool(proof)
        for detail in proof:
            print(f"  #{case.number} under the number of #{other.number}: {detail}")
    return [["proved under another's number", wrong, f"{100 * wrong / len(cases):.1f} %"]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mirror", type=Path)
    parser.add_argument("url")
    parser.add_argument("--branch", default="master")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(words.mirror.absolute(), words.url, words.branch, Path(name))
        dice = random.Random(words.seed)
        named = trial.numbers()
        print(f"{len(named)} pull requests that exactly one subject names")
        # A copy of upstream may lack files, so a few more are drawn than are wanted.
        cases = trial.cases(dice.sample(named, min(words.count * 11 // 10 + 5, len(named))))[: words.count]
        for title, function, chosen in (
            ("with its number", merged, cases),
            ("with another's number", swapped, cases[: len(cases) // 3]),
        ):
            COUNTER.processes, start = 0, time.perf_counter()
            rows = function(trial, chosen)
            spent = f"{time.perf_counter() - start:.0f} s, {COUNTER.processes} git processes"
            table(f"{len(chosen)} patches {title}: {spent}", [["", "count", "share"], *rows])
            sys.stdout.flush()


if __name__ == "__main__":
    main()
