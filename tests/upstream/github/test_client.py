"""Asking GitHub, against a service that executes the real query on the real schema and checks what it serves."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING

import jsonschema
import pytest

from patchctl.upstream.github.graphql import question
from patchctl.upstream.pull import Pull, PullName
from tests.upstream.github.fake import HOURLY, TOKEN, breaks_off, drips, hangs_up, promises, says, sleeps, too_much

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from patchctl.upstream.github.client import Asked
    from tests.upstream.github.conftest import World

HOUR = 3600.0
UP = "acme/up"


def names(*numbers: int, repo: str = UP) -> list[PullName]:
    return [PullName(repo, number) for number in numbers]


def pull(asked: Asked, number: int, repo: str = UP) -> Pull:
    found = asked.answers[PullName(repo, number)].pull
    assert found is not None
    return found


# --- how often --------------------------------------------------------------------------------------------------------


def test_a_hundred_open_pull_requests_cost_four_requests_and_none_within_the_hour(
    world: World, hundred: Callable[[], None]
) -> None:
    hundred()
    client = world.client()
    asked = client.pulls(names(*range(1, 101)), max_age=HOUR)
    assert (len(asked.answers), asked.problem, client.sent, len(world.fake.asked)) == (100, "", 4, 4)
    assert all(pull(asked, number).title == f"number {number}" for number in range(1, 101))
    world.now += HOUR
    again = world.client()
    assert again.pulls(names(*range(1, 101)), max_age=HOUR).answers == asked.answers
    assert again.sent == 0
    world.now += 1
    assert world.client().pulls(names(*range(1, 101)), max_age=HOUR).problem == ""
    assert len(world.fake.asked) == 8


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_what_was_merged_is_never_asked_again(world: World, token: str) -> None:
    world.fake.know(UP, 7, state="MERGED", commit="c" * 40)
    world.fake.know(UP, 8)
    world.client(token=token).pulls(names(7, 8), max_age=HOUR)
    world.now += 1000 * HOUR
    world.fake.asked.clear()
    asked = world.client(token=token).pulls(names(7, 8), max_age=0)
    assert (pull(asked, 7).commit, asked.answers[names(7)[0]].stale) == ("c" * 40, False)
    assert len(world.fake.asked) == 1
    assert "7" not in str(world.fake.asked[0][3] or world.fake.asked[0][1])


def test_offline_asks_nothing_and_knows_how_old_its_answers_are(world: World) -> None:
    world.fake.know(UP, 7)
    world.client().pulls(names(7), max_age=HOUR)
    world.now += 5 * HOUR
    client = world.client()
    asked = client.pulls(names(7, 8), max_age=HOUR, offline=True)
    assert client.sent == 0
    assert [(name.number, answer.stale, world.now - answer.asked) for name, answer in asked.answers.items()] == [
        (7, True, 5 * HOUR)
    ]


def test_nothing_asked_costs_no_request(world: World) -> None:
    client = world.client()
    assert client.pulls([], max_age=0).answers == {}
    assert client.sent == 0


# --- what is said -----------------------------------------------------------------------------------------------------


def test_the_whole_of_a_pull_request(world: World) -> None:
    fake = world.fake
    fake.know(UP, 9, state="MERGED", commit="9" * 40)
    fake.know(UP, 10)
    fake.know(UP, 7, state="CLOSED", title="fix \x1b[31mit", review="APPROVED", checks="FAILURE", labels=["bug\n::x"],
              closer=f"{UP}#9", mentions=[f"{UP}#9", f"{UP}#10", f"{UP}#99"], branch="dev", draft=True)  # fmt: skip
    found = pull(world.client().pulls(names(7), max_age=0), 7)
    assert found == Pull(
        repo=UP, number=7, state="closed", draft=True, title="fix \\x1b[31mit", author="someone", head="a" * 40,
        branch="dev", fork="someone/fork", review="APPROVED", checks="FAILURE", labels=("bug\\n::x",),
        successor=(f"{UP}#9", "9" * 40), mentions=((f"{UP}#9", "9" * 40),),
    )  # fmt: skip
    assert Pull.from_record(json.loads(json.dumps(found.record()))) == found


def test_closed_for_a_commit_a_duplicate_or_nothing(world: World) -> None:
    world.fake.know(UP, 1, state="CLOSED", closer="d" * 40)
    world.fake.know(UP, 2, state="CLOSED", duplicate=f"{UP}#4")
    world.fake.know(UP, 3, state="CLOSED")
    world.fake.know(UP, 4, mentions=[f"{UP}#99"])
    asked = world.client().pulls(names(1, 2, 3, 4), max_age=0)
    assert [(pull(asked, n).closer, pull(asked, n).successor) for n in (1, 2, 3, 4)] == [
        ("d" * 40, None), (None, (f"{UP}#4", None)), (None, None), (None, None)
    ]  # fmt: skip


def test_graphql_and_rest_tell_the_same(world: World) -> None:
    world.fake.know(UP, 1, labels=["bug"], draft=True)
    world.fake.know(UP, 2, state="MERGED", commit="c" * 40, author=None)
    world.fake.know(UP, 3, state="CLOSED", fork=None)
    by_graphql = world.client().pulls(names(1, 2, 3), max_age=0)
    world.ledger.forget("pull", "")
    for name in names(1, 2, 3):
        world.ledger.forget("pull", world.client()._key(name))
    by_rest = world.client(token="").pulls(names(1, 2, 3), max_age=0)
    for number in (1, 2, 3):
        assert pull(by_rest, number).record() == pull(by_graphql, number).record()
    assert {asked[0] for asked in world.fake.asked} == {"POST", "GET"}


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_a_deleted_fork_is_no_error(world: World, token: str) -> None:
    world.fake.know(UP, 7, fork=None)
    assert pull(world.client(token=token).pulls(names(7), max_age=0), 7).fork is None


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_a_trial_merge_is_no_landing(world: World, token: str) -> None:
    world.fake.know(UP, 7)
    assert pull(world.client(token=token).pulls(names(7), max_age=0), 7).commit is None


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_what_is_not_there_is_told_and_the_rest_is_kept(world: World, token: str) -> None:
    world.fake.know(UP, 7)
    wanted = [*names(7, 8), *names(7, repo="acme/nothing")]
    asked = world.client(token=token).pulls(wanted, max_age=0)
    assert {str(name): answer.pull is None for name, answer in asked.answers.items()} == {
        "acme/up#7": False, "acme/up#8": True, "acme/nothing#7": True
    }  # fmt: skip
    assert asked.problem == ""


def test_a_field_one_may_not_see_leaves_the_rest(world: World) -> None:
    world.fake.know(UP, 7, checks="SUCCESS")
    world.fake.know(UP, 8, checks="SUCCESS")
    world.fake.hidden.add(("statusCheckRollup", "p7"))
    asked = world.client().pulls(names(7, 8), max_age=0)
    assert [(pull(asked, number).checks, pull(asked, number).state) for number in (7, 8)] == [
        (None, "open"), ("SUCCESS", "open")
    ]  # fmt: skip


def test_null_for_another_reason_is_not_absence(world: World) -> None:
    world.fake.know(UP, 7)
    world.client().pulls(names(7), max_age=0)
    world.now += HOUR
    error = {"type": "INTERNAL", "path": ["r0", "p7"], "message": "Something went wrong"}
    world.fake.faults.append(says(200, {"data": {"r0": {"nameWithOwner": UP, "p7": None}}, "errors": [error]}))
    asked = world.client().pulls(names(7), max_age=0)
    assert (pull(asked, 7).state, asked.answers[names(7)[0]].stale) == ("open", True)
    assert asked.problem == "Something went wrong"


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_a_renamed_repository_answers_under_its_new_name(world: World, token: str) -> None:
    world.fake.know("neworg/up", 7)
    world.fake.renamed[UP] = "neworg/up"
    asked = world.client(token=token).pulls(names(7), max_age=0)
    assert (pull(asked, 7).repo, asked.problem) == ("neworg/up", "")


# --- limits -----------------------------------------------------------------------------------------------------------


def test_sixty_an_hour_without_a_token_then_what_is_kept_with_its_age(
    world: World, hundred: Callable[[], None]
) -> None:
    hundred()
    world.fake.reset = world.now + 1800
    wanted = names(*range(1, 71))
    asked = world.client(token="").pulls(wanted, max_age=HOUR)
    assert len(asked.answers) == HOURLY
    assert "the rate limit is used up for another 30 min; a token in GITHUB_TOKEN raises the limit" in asked.problem
    assert world.slept == []
    world.now += 2 * HOUR
    later = world.client(token="").pulls(wanted, max_age=HOUR)
    assert [answer.stale for answer in later.answers.values()] == [True] * HOURLY
    assert later.problem


def test_an_unchanged_answer_is_not_sent_again(world: World) -> None:
    world.fake.know(UP, 7)
    first = world.client(token="").pulls(names(7), max_age=0)
    world.now += HOUR
    client = world.client(token="")
    second = client.pulls(names(7), max_age=0)
    etag = first.answers[names(7)[0]].etag
    assert etag is not None
    assert world.fake.asked[1][2]["If-None-Match"] == etag
    assert pull(second, 7) == pull(first, 7)
    assert second.answers[names(7)[0]].asked == world.now
    world.fake.know(UP, 7, title="another")
    world.now += HOUR
    assert pull(world.client(token="").pulls(names(7), max_age=0), 7).title == "another"


def test_rest_keeps_what_only_graphql_tells(world: World) -> None:
    known = world.fake.know(UP, 7, state="CLOSED", closer="d" * 40)
    world.client().pulls(names(7), max_age=0)
    world.now += HOUR
    assert pull(world.client(token="").pulls(names(7), max_age=0), 7).closer == "d" * 40
    known.state, world.now = "OPEN", world.now + HOUR
    assert pull(world.client(token="").pulls(names(7), max_age=0), 7).closer is None


def test_retry_after_is_waited_for_within_bounds(world: World) -> None:
    world.fake.know(UP, 7)
    world.fake.faults.append(says(403, {"message": "You have exceeded a secondary rate limit."}, Retry_After="30"))
    assert pull(world.client().pulls(names(7), max_age=0), 7).state == "open"
    assert world.slept == [30.0]
    world.now += HOUR
    world.fake.faults.append(says(429, {"message": "slow down"}, Retry_After="600"))
    asked = world.client().pulls(names(7), max_age=0)
    assert asked.answers[names(7)[0]].stale
    assert "used up for another 10 min" in asked.problem
    assert world.slept == [30.0]


def test_all_waits_of_a_run_share_one_bound(world: World) -> None:
    world.fake.know(UP, 7)
    world.fake.always = says(429, {"message": "slow down"}, Retry_After="40")
    asked = world.client(wait=90.0).pulls(names(7), max_age=0)
    assert world.slept == [40.0, 40.0]
    assert asked.problem


def test_a_reset_is_told_in_the_services_own_time(world: World) -> None:
    world.fake.know(UP, 7)
    headers = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "1000020", "Date": "Mon, 12 Jan 1970 13:46:40 GMT"}
    world.fake.faults.append(says(403, {"message": "API rate limit exceeded"}, **headers))
    world.client().pulls(names(7), max_age=0)
    assert world.slept == [20.0]


def test_an_exhausted_limit_with_status_200(world: World) -> None:
    world.fake.know(UP, 7)
    body = {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1."}]}
    soon = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(int(world.now) + 15), "Date": "never"}
    world.fake.faults.append(says(200, body, **soon))
    assert pull(world.client().pulls(names(7), max_age=0), 7).state == "open"
    assert world.slept == [15.0]
    world.now += HOUR
    late = {**soon, "X_RateLimit_Reset": str(int(world.now) + 3000)}
    world.fake.faults.append(says(200, body, **late))
    asked = world.client().pulls(names(7), max_age=0)
    assert asked.answers[names(7)[0]].stale
    assert "the rate limit is used up" in asked.problem


def test_forbidden_is_no_limit_to_wait_for(world: World) -> None:
    world.fake.know(UP, 7)
    world.fake.faults.append(says(403, {"message": "Resource not accessible by integration"}))
    asked = world.client().pulls(names(7), max_age=0)
    assert (world.slept, asked.answers) == ([], {})
    assert "answered 403" in asked.problem


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [502, 504])
def test_too_much_at_once_is_halved(world: World, hundred: Callable[[], None], status: int) -> None:
    hundred()
    world.fake.always = too_much(7, status)
    asked = world.client().pulls(names(*range(1, 101)), max_age=0)
    assert (len(asked.answers), asked.problem) == (100, "")
    sizes = [body["query"].count("pullRequest(") for *_, body in world.fake.asked]
    assert sizes[:4] == [25, 12, 6, 6]
    assert len(sizes) == 4 * 7


def test_one_that_is_always_too_much_is_left_out_and_named(world: World, hundred: Callable[[], None]) -> None:
    hundred()

    def poisoned(handler: object) -> bool:
        return "number: 13)" in world.fake.asked[-1][3]["query"] and too_much(0)(handler)  # type: ignore[arg-type]

    world.fake.always = poisoned
    asked = world.client().pulls(names(*range(1, 51)), max_age=0)
    assert sorted(set(names(*range(1, 51))) - set(asked.answers)) == names(13)
    assert asked.problem.startswith("acme/up#13: ")


def test_a_service_that_is_down_is_not_asked_for_ever(world: World, hundred: Callable[[], None]) -> None:
    hundred()
    world.fake.always = says(502)
    assert world.client().pulls(names(*range(1, 101)), max_age=0).problem
    assert len(world.fake.asked) == 8
    world.fake.asked.clear()
    world.fake.always = says(503)
    assert world.client().pulls(names(*range(1, 101)), max_age=0).problem
    assert len(world.fake.asked) == 3


def test_what_came_before_the_trouble_is_kept(world: World, hundred: Callable[[], None]) -> None:
    hundred()
    world.fake.faults.extend([None, None, says(401, {"message": "Bad credentials"})])
    asked = world.client().pulls(names(*range(1, 101)), max_age=HOUR)
    assert len(asked.answers) == 50
    assert "refuses the token" in asked.problem
    later = world.client()
    assert len(later.pulls(names(*range(1, 101)), max_age=HOUR).answers) == 100
    assert later.sent == 2


@pytest.mark.parametrize("token", [TOKEN, ""])
@pytest.mark.parametrize("fault", [hangs_up, breaks_off, promises, says(503), says(500)])
def test_a_broken_answer_is_asked_for_again(world: World, fault: Callable[..., bool], token: str) -> None:
    world.fake.know(UP, 7)
    world.fake.faults.append(fault)
    client = world.client(token=token)
    assert pull(client.pulls(names(7), max_age=0), 7).state == "open"
    assert (client.sent, world.slept) == (2, [0.5])


@pytest.mark.parametrize("fault", [sleeps(1.0), drips(0.02)])
def test_slow_answers_are_given_up_within_bounds(world: World, fault: Callable[..., bool]) -> None:
    world.fake.know(UP, 7)
    world.fake.always = fault
    client = world.client(read=0.1, whole=0.2)
    asked = client.pulls(names(7), max_age=0)
    assert (asked.answers, client.sent) == ({}, 3)
    assert "no answer in time" in asked.problem or "takes longer than" in asked.problem


def test_nobody_there(world: World) -> None:
    client = world.client()
    object.__setattr__(client.service, "graphql", "http://127.0.0.1:9/graphql")
    asked = client.pulls(names(7), max_age=0)
    assert asked.problem == "127.0.0.1: cannot be reached, or hangs up"
    assert world.slept == [0.5, 1.0]


@pytest.mark.parametrize("token", [TOKEN, ""])
@pytest.mark.parametrize(
    "body", [[], "words", {"data": {"r0": 7}}, {"data": {"r0": {"p7": {"number": 7}}}}, {"number": "x"}]
)
def test_an_answer_that_is_not_githubs_is_no_answer(world: World, token: str, body: object) -> None:
    world.fake.faults.append(says(200, body))
    asked = world.client(token=token).pulls(names(7), max_age=0)
    assert asked.answers == {}
    assert asked.problem


# --- the token --------------------------------------------------------------------------------------------------------


def test_the_token_is_in_no_log_no_message_and_no_file(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.fake.know(UP, 7)
    client = world.client()
    client.pulls(names(7), max_age=0)
    world.fake.always = says(500, {"message": TOKEN})
    told = client.pulls(names(7), max_age=-1).problem
    assert world.fake.asked[0][2]["Authorization"] == f"Bearer {TOKEN}"
    assert told
    world.ledger.close()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"acme/up" in written
    for text in (told, caplog.text, repr(client.service), repr(client._transport), written.decode("latin-1")):
        assert TOKEN not in text


def test_another_host_is_not_followed_and_never_sees_the_token(world: World) -> None:
    from tests.upstream.github.fake import Fake

    other = Fake()
    try:
        world.fake.know(UP, 7)
        transport = world.client()._open()
        for status in (301, 302, 307, 308):
            world.fake.faults.append(says(status, {}, Location=f"{other.url}/repos/acme/up/pulls/7"))
            with pytest.raises(Exception, match="another host"):
                transport.get(f"{world.fake.url}/repos/acme/up/pulls/7")
        assert other.asked == []
    finally:
        other.close()


def test_circles_end(world: World) -> None:
    world.fake.always = says(301, {}, Location="/repos/acme/up/pulls/7")
    assert "in circles" in world.client(token="").pulls(names(7), max_age=0).problem
    assert len(world.fake.asked) == 4


def test_a_netrc_file_is_not_asked_for_secrets(world: World, isolated: Path) -> None:
    (isolated / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (isolated / ".netrc").chmod(0o600)
    world.fake.know(UP, 7)
    world.client(token="").pulls(names(7), max_age=0)
    assert "Authorization" not in world.fake.asked[0][2]


def test_a_proxy_of_the_environment_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fake.know(UP, 7)
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", world.fake.url)
    client = world.client(token="")
    object.__setattr__(client.service, "api", "http://api.example.invalid")
    assert pull(client.pulls(names(7), max_age=0), 7).state == "open"
    assert world.fake.asked[0][1] == "http://api.example.invalid/repos/acme/up/pulls/7"


# --- the fake is no pushover ------------------------------------------------------------------------------------------


def test_the_fake_refuses_what_github_would_refuse(world: World) -> None:
    body = question(names(7))
    for wrong in (("isDraft", "draft"), ("number: 7", 'number: "7"'), ("CLOSED_EVENT", "SHUT_EVENT"), ("$o0", "$o1")):
        answer = world.fake.graphql({**body, "query": body["query"].replace(*wrong)})
        assert answer.get("data") is None
    assert len(world.fake.wrong) >= 4
    world.fake.wrong.clear()


def test_the_fake_cannot_serve_what_github_would_not(world: World) -> None:
    world.fake.know(UP, 7, state="SHUT")
    assert world.fake.graphql(question(names(7)))["data"]["r0"]["p7"] is None
    assert "SHUT" in world.fake.wrong.pop()
    world.fake.know(UP, 8, title=None)
    with pytest.raises(jsonschema.ValidationError):
        world.fake.rest(UP, 8)
    world.fake.graphql(question(names(8)))
    assert "title" in world.fake.wrong.pop()


def test_two_at_once_do_not_spoil_what_is_kept(world: World, hundred: Callable[[], None]) -> None:
    hundred()
    clients = [world.client() for _ in range(4)]
    threads = [
        threading.Thread(target=client.pulls, args=(names(*range(1, 101)),), kwargs={"max_age": HOUR})
        for client in clients
    ]
    path = world.ledger.path
    for client in clients:
        client.ledger = type(world.ledger)(path)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = world.client()
    assert len(last.pulls(names(*range(1, 101)), max_age=HOUR).answers) == 100
    assert last.sent == 0
