"""Jobs as data, and which of them a registry knows."""

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsqueue.queue.job import BadPayload, Job, Policy
from smsqueue.queue.registry import Registry, UnknownJob, UnknownVersion


@dataclass(frozen=True, kw_only=True)
class Greet(Job):
    """Greets somebody."""

    kind, version, policy = "test.greet", 3, Policy(tries=5)
    user_id: int
    word: str = "hello"


@dataclass(frozen=True, kw_only=True)
class Plain(Job):
    """A job that says nothing of itself."""

    kind = "test.plain"


@pytest.fixture
def registry():
    registry = Registry(Policy(tries=2))
    registry.register(Greet, lambda *_: None)
    registry.register(Plain, lambda *_: None)
    return registry


def payload(**changes: object) -> str:
    content = {"kind": "test.greet", "version": 3, "data": {"user_id": 1, "word": "hi"}, **changes}
    return json.dumps(content)


@given(st.integers(), st.text())
def test_job_is_the_same_after_its_payload(user_id, word):
    registry = Registry()
    registry.register(Greet, lambda *_: None)
    job = Greet(user_id=user_id, word=word)
    assert registry.job(job.to_payload()) == job


def test_payload_names_kind_and_version():
    assert json.loads(Greet(user_id=7).to_payload()) == {
        "kind": "test.greet",
        "version": 3,
        "data": {"user_id": 7, "word": "hello"},
    }


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "null",
        "3",
        "[]",
        "{}",
        '"text"',
        "{",
        payload(kind=None),
        payload(kind=["test.greet"]),
        payload(data=None),
        payload(data=[]),
        payload(data={}),
        payload(data={"user_id": 1}),
        payload(data={"user_id": 1, "word": "hi", "more": 1}),
    ],
)
def test_bad_payload_is_refused(registry, bad):
    with pytest.raises(BadPayload):
        registry.job(bad)


def test_misfit_says_what_was_needed_and_found(registry):
    with pytest.raises(BadPayload, match=r"test\.greet needs the fields \['user_id', 'word'\], found \['name'\]"):
        registry.job(payload(data={"name": 1}))


@pytest.mark.parametrize("version", [2, 4, None, "3"])
def test_other_version_is_told_from_a_bad_payload(registry, version):
    with pytest.raises(UnknownVersion, match="this worker knows version 3"):
        registry.job(payload(version=version, data={"anything": 1}))


def test_unknown_kind_is_never_imported_by_its_name(registry):
    with pytest.raises(UnknownJob, match=r"no handler is registered for jobs of kind 'os\.system'"):
        registry.job(payload(kind="os.system"))


def test_policy_is_the_jobs_own_or_the_workers(registry):
    assert registry.policy("test.greet").tries == 5
    assert registry.policy("test.plain").tries == 2
    assert registry.policy("test.unknown").tries == 2


def test_policy_given_at_registration_wins(registry):
    registry.register(Greet, lambda *_: None, policy=Policy(tries=9))
    assert registry.policy("test.greet").tries == 9


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 5), (2, 30), (3, 60), (4, 60), (100, 60)])
def test_last_backoff_repeats(attempts, seconds):
    assert Policy(backoff=(5, 30, 60)).delay(attempts) == seconds


@pytest.mark.parametrize(
    ("policy", "attempts", "exceptions", "age", "over"),
    [
        (Policy(), 1, 1, 0, True),
        (Policy(tries=3), 2, 2, 10**9, False),
        (Policy(tries=3), 3, 0, 0, True),
        (Policy(tries=0), 10**6, 10**6, 10**9, False),
        (Policy(tries=9, max_exceptions=2), 3, 1, 0, False),
        (Policy(tries=9, max_exceptions=2), 3, 2, 0, True),
        (Policy(retry_for=60), 50, 50, 59, False),
        (Policy(retry_for=60), 1, 1, 60, True),
        (Policy(retry_for=60, backoff=(30,)), 1, 1, 31, True),
        (Policy(retry_for=60, max_exceptions=2), 2, 2, 1, True),
    ],
)
def test_policy_says_when_there_is_no_further_try(policy, attempts, exceptions, age, over):
    assert policy.is_over(attempts, exceptions, age) is over
