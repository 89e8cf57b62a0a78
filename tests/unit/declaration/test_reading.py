"""The file of a declared gateway: every mistake is told, with its line."""

import re
from pathlib import Path

import pytest

from smsqueue.declaration import BadDeclaration, read

ROOT = Path(__file__).parents[3]
SECRETS = {"KEY": "k", "WEBHOOK": "w"}
GOOD = """\
throttled = { status = [429] }

[request]
url = "https://sms.example.org/send"
json = { to = "{to}", text = "{text}" }

[accepted]
when = { status = [200], json = "ok", equals = true }
reference = "id"
"""


@pytest.fixture
def problems(tmp_path):
    def problems(text: str) -> list[str]:
        file = tmp_path / "gateway.toml"
        file.write_text(text)
        try:
            read(file, SECRETS, ("plain.example.org",))
        except BadDeclaration as error:
            return error.problems
        return []

    return problems


def test_example_of_the_documentation_is_right(problems):
    example = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "gateways.md").read_text(), re.DOTALL)
    assert example
    assert problems(example[1]) == []


PATTERN = "must be a regular expression of at most 200 characters"
ADDRESS = "must be an address that starts with https:// and names a host"
BODY = "must look at the status and at the body (json, contains or pattern)"
STATUS, URL, JSON, WHEN = (
    "{ status = [429] }",
    "https://sms.example.org/send",
    "json = {",
    'status = [200], json = "ok"',
)
REFERENCE = 'reference = "id"'
IS_NEEDED = "is needed: the path of the gateway's reference (or reference_pattern)"
HOSTS = "must start with https://, or HTTP_GATEWAY_PLAIN_HOSTS must name sms.example.org"
LOOK = "or json, contains, pattern is needed: a condition must look at something"


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("throttled", "throtled", 1, "throtled is not known"),
        ("[429]", '["429"]', 1, "throttled.status must be a list of HTTP statuses"),
        (STATUS, "{ sttus = [429] }", 1, "throttled.sttus is not known"),
        (STATUS, "{}", 1, f"throttled.status {LOOK}"),
        (STATUS, "429", 1, "throttled must be a condition such as { status = [400] }, or a list of them"),
        (STATUS, '{ pattern = "(" }', 1, f"throttled.pattern {PATTERN}"),
        (STATUS, "{ equals = 1, status = [429] }", 1, "throttled.equals needs json, the path of what is compared"),
        ("https://sms", "http://sms", 4, f"request.url {HOSTS}"),
        ("https://sms", "https://{to}", 4, "request.url must have no placeholder before its path"),
        ("https://sms", "https://a@sms", 4, f"request.url {ADDRESS}"),
        (URL, "gopher://x", 4, f"request.url {ADDRESS}"),
        ("{text}", "{body}", 5, "request.json has {body}, which is no placeholder"),
        ("{text}", "{text!r}", 5, "request.json has {text!r}, which is no placeholder"),
        ("{text}", "{secret.NOBODY}", 5, "request.json needs HTTP_GATEWAY_SECRET_NOBODY, which is not set"),
        (JSON, "method = 'GET'\njson = {", 6, "request.json cannot be sent by GET: use query"),
        (JSON, "text = 'a'\njson = {", 5, "request.text and request.json exclude each other: give one body"),
        (JSON, "auth = 'bearer'\njson = {", 3, "request.secret is needed by auth = bearer, for example {secret.KEY}"),
        (JSON, "auth = 'digest'\njson = {", 5, "request.auth must be none or basic or bearer"),
        (JSON, 'headers = { A = "b\\nc" }\njson = {', 5, "request.headers.A must be a text of one line"),
        (f"{WHEN}, equals = true", "status = [200]", 8, f"accepted.when {BODY}"),
        (WHEN, 'json = "ok"', 8, f"accepted.when {BODY}"),
        (REFERENCE, "", 7, f"accepted.reference {IS_NEEDED}"),
        (
            REFERENCE,
            f"reference = '{'a.' * 8}b'",
            9,
            "accepted.reference must be a path such as data.id, at most 8 deep",
        ),
        (REFERENCE, "reference_pattern = 'id'", 9, f"accepted.reference_pattern {PATTERN} and one group"),
    ],
)
def test_each_mistake_is_told_with_its_line(problems, old, new, line, problem):
    assert f"line {line}: {problem}" in problems(GOOD.replace(old, new, 1))


COVERS = "= hmac covers the body, and a GET has none: use basic or token"
ENDINGS = "sent, delivered, undelivered, expired, failed, cancelled"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("[report]\nsignature = 'hmac'\n", "report.secret is needed by signature = hmac, for example {secret.KEY}"),
        ("[report]\nsignature = 'hmac'\nmethod = 'GET'\n", f"report.signature {COVERS}"),
        ("[inbound]\nsignature = 'hmac'\nmethod = 'GET'\n", f"inbound.signature {COVERS}"),
        ("[report]\nsignature = 'rsa'\n", "report.signature must be hmac or basic or token"),
        ("[report]\nstates = { A = 'arrived' }\n", f"report.A must be one of {ENDINGS}"),
        ("[report]\nanswer_status = 500\n", "report.answer_status must be a number from 200 to 299"),
        ("[look_up]\nurl = 'https://a/'\n", "look_up.found is needed: which answers mean that there is such a text"),
        ("[fetch]\nurl = 'https://a/'\nfound = { status = 200 }\n", "fetch.status is needed: the path of the state"),
        ("[capabilities]\nmax_per_second = true\n", "capabilities.max_per_second must be a number from 0.01 to 100000"),
    ],
)
def test_mistakes_in_other_parts(problems, more, problem):
    assert any(found.endswith(problem) for found in problems(GOOD + more))


def test_all_mistakes_are_told_at_once(problems):
    assert len(problems("other = 1\n[request]\nurl = 'x'\n")) == 4


def test_listed_hosts_may_be_called_without_tls(problems):
    assert problems(GOOD.replace("https://sms.example.org", "http://plain.example.org")) == []


def test_what_is_no_such_file(problems, tmp_path):
    assert problems("a = = b")[0].startswith("it is no TOML: ")
    assert problems("# " + "x" * 33_000) == ["it is larger than 32 KiB"]
    with pytest.raises(BadDeclaration, match="it cannot be read: No such file or directory"):
        read(tmp_path / "nowhere.toml", {})
