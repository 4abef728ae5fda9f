"""What GitHub says of pull requests: asked as rarely as can be, kept with its date, and never believed to be newer."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from patchctl.ledger import digest
from patchctl.upstream.github import graphql, rest
from patchctl.upstream.github.limits import UnansweredError
from patchctl.upstream.pull import Pull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from patchctl.ledger import Ledger
    from patchctl.upstream.github.service import Service
    from patchctl.upstream.github.transport import Transport
    from patchctl.upstream.pull import PullName

KIND = "pull"
CHUNK = 25  # pull requests in one query; GitHub gives an answer ten seconds
FAILURES = 8  # answers in a row that did not come before the rest is left alone
ABSENT = frozenset({404, 410})


@dataclass(frozen=True)
class Answer:
    """What was said of one pull request (None: there is none), when (seconds since 1970), and by which mark (ETag).

    ``stale``: it is older than was wanted, since nothing newer could be had.
    """

    pull: Pull | None
    asked: float
    etag: str | None = None
    stale: bool = False


@dataclass
class Asked:
    """All answers by name, and why some are stale or missing, in words ("" when none is)."""

    answers: dict[PullName, Answer] = field(default_factory=dict)
    problem: str = ""


class Client:
    """Asks one service; answers are kept in the ledger. ``transport`` is made when something has to be asked."""

    def __init__(
        self,
        service: Service,
        ledger: Ledger,
        transport: Callable[[str], Transport],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.service = service
        self.ledger = ledger
        self.clock = clock
        self._make = transport
        self._transport: Transport | None = None

    @property
    def sent(self) -> int:
        """Return how many requests were sent."""
        return self._transport.sent if self._transport else 0

    def pulls(self, names: Iterable[PullName], *, max_age: float, offline: bool = False) -> Asked:
        """Return what is known about pull requests, asking for those whose answer is older than ``max_age`` seconds.

        What was merged stays merged and is never asked for again. ``offline`` asks nothing. Raises nothing: what could
        not be asked is told in ``problem``.
        """
        wanted = list(dict.fromkeys(names))
        asked = Asked(self._kept(wanted))
        old = [name for name in wanted if not self._fresh(asked.answers.get(name), max_age)]
        if old and not offline:
            (self._by_graphql if self.service.token else self._by_rest)(old, asked)
        for name in old:
            answer = asked.answers.get(name)
            if answer is not None and not self._fresh(answer, max_age):
                asked.answers[name] = Answer(answer.pull, answer.asked, answer.etag, stale=True)
        return asked

    # --- what is kept ---------------------------------------------------------------------------------------------

    def _key(self, name: PullName) -> str:
        return digest("pull", 1, self.service.api, name.repo.lower(), name.number)

    def _kept(self, names: Sequence[PullName]) -> dict[PullName, Answer]:
        by_key = {self._key(name): name for name in names}
        kept: Mapping[str, Any] = self.ledger.get_many(KIND, by_key)
        return {
            by_key[key]: Answer(Pull.from_record(it["pull"]) if it["pull"] else None, it["asked"], it["etag"])
            for key, it in kept.items()
        }

    def _keep(self, answers: Mapping[PullName, Answer], asked: Asked) -> None:
        asked.answers.update(answers)
        self.ledger.put_many(KIND, {
            self._key(name): {"pull": it.pull and it.pull.record(), "asked": it.asked, "etag": it.etag}
            for name, it in answers.items()
        })  # fmt: skip

    def _fresh(self, answer: Answer | None, max_age: float) -> bool:
        if answer is None:
            return False
        merged = answer.pull is not None and answer.pull.state == "merged"
        return merged or 0 <= self.clock() - answer.asked <= max_age

    def _open(self) -> Transport:
        if self._transport is None:
            self._transport = self._make(self.service.token)
        return self._transport

    # --- with a token ---------------------------------------------------------------------------------------------

    def _by_graphql(self, names: Sequence[PullName], asked: Asked) -> None:
        """Ask in chunks, one after another; one that is too much for the service is halved."""
        waiting = [names[at : at + CHUNK] for at in range(0, len(names), CHUNK)]
        failures = 0
        while waiting:
            chunk = waiting.pop(0)
            try:
                self._chunk(chunk, asked)
                failures = 0
            except UnansweredError as error:
                failures += 1
                middle = len(chunk) // 2
                if not error.overload or failures >= FAILURES:
                    asked.problem = str(error)
                    return
                if middle:
                    waiting[:0] = [chunk[:middle], chunk[middle:]]
                else:
                    asked.problem = f"{chunk[0]}: {error}"

    def _chunk(self, names: Sequence[PullName], asked: Asked) -> None:
        reply = self._open().post(self.service.graphql, graphql.question(names))
        if reply.status != 200 or not isinstance(reply.data, dict):
            raise UnansweredError(self._refused(reply.status))
        with _understood(self.service.graphql):
            found, problem = graphql.read(names, reply.data)
        asked.problem = asked.problem or problem
        now = self.clock()
        self._keep({name: Answer(pull, now) for name, pull in found.items()}, asked)

    def _refused(self, status: int) -> str:
        if status == 401:
            return f"{self.service.api} refuses the token in GITHUB_TOKEN or GH_TOKEN"
        return f"{self.service.api} answered {status}"

    # --- without one ----------------------------------------------------------------------------------------------

    def _by_rest(self, names: Sequence[PullName], asked: Asked) -> None:
        try:
            for name in names:
                self._one(name, asked)
        except UnansweredError as error:
            asked.problem = str(error)

    def _one(self, name: PullName, asked: Asked) -> None:
        known = asked.answers.get(name)
        etag = known.etag if known else None
        reply = self._open().get(rest.address(self.service.api, name), etag)
        now = self.clock()
        if reply.status == 304 and known is not None:
            self._keep({name: Answer(known.pull, now, etag)}, asked)
        elif reply.status in ABSENT:
            self._keep({name: Answer(None, now)}, asked)
        elif reply.status == 200 and isinstance(reply.data, dict):
            with _understood(self.service.api):
                pull = rest.read(name, reply.data)
            self._keep({name: Answer(_with_more(pull, known), now, reply.headers.get("etag"))}, asked)
        else:
            raise UnansweredError(self._refused(reply.status))


@contextlib.contextmanager
def _understood(url: str) -> Iterator[None]:
    """Take an answer that is JSON but nothing GitHub would say for no answer."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnansweredError(f"{url} answers something else than GitHub does ({error})") from error


def _with_more(pull: Pull, known: Answer | None) -> Pull:
    """Return a pull request with what was known of it and REST does not tell, as far as that still holds."""
    old = known.pull if known else None
    if old is None or (old.state, old.head) != (pull.state, pull.head):
        return pull
    return replace(pull, closer=old.closer, successor=old.successor, mentions=old.mentions)
