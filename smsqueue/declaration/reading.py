"""Read the file, and say everything that is wrong with it, each with its line."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smsqueue.core.errors import SmsQueueError
from smsqueue.declaration.parts import Call, Declaration, Listener, Question
from smsqueue.declaration.sections import Section

LARGEST = 32 * 1024
STATES = ("sent", "delivered", "undelivered", "expired", "failed", "cancelled")
PATHS = ("reference", "gateway_reference", "status", "code", "time")
INBOUND_PATHS = ("from", "to", "text", "gateway_reference", "time")


class BadDeclaration(SmsQueueError):
    """Everything that is wrong with the file."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class _File:
    """What is needed while reading: the text for the numbers of lines, the secrets, the mistakes."""

    def __init__(self, text: str, secrets: Mapping[str, str], plain_hosts: tuple[str, ...]) -> None:
        self.text = text
        self.secrets = secrets
        self.plain_hosts = plain_hosts
        self.problems: list[str] = []

    def tell(self, name: str, verdict: str) -> None:
        """Note a mistake at a dotted name, with its line; that of its table when the key itself is not there."""
        found = self._find(name.split("."))
        line = f"line {self.text.count(chr(10), 0, found) + 1}: " if found else ""
        self.problems.append(f"{line}{name} {verdict}")

    def _find(self, keys: list[str]) -> int:
        """Go down from key to key, and give the end of the last one that is there."""
        here, end = 0, len(self.text)
        for key in keys:
            word = re.escape(key)
            wanted = rf"^\s*\[+[^\]\n]*\b{word}\b|(^|[{{,])\s*\"?{word}\"?\s*="
            found = re.compile(wanted, re.MULTILINE).search(self.text, here, end)
            if found is None:
                break
            here = found.end()
            is_table = found.group().lstrip().startswith("[")
            after = rf"^\[(?!\[?{re.escape(keys[0])}\b)" if is_table else r"^(\[|[\w-]+\s*=)"
            limit = re.compile(after, re.MULTILINE).search(self.text, here, end)
            end = limit.start() if limit else end
        return here


def read(path: Path, secrets: Mapping[str, str], plain_hosts: tuple[str, ...] = ()) -> Declaration:
    """Read a declaration, or raise BadDeclaration with all its mistakes."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise BadDeclaration([f"it is larger than {LARGEST // 1024} KiB"])
        text = content.decode()
        values = tomllib.loads(text)
    except OSError as error:
        raise BadDeclaration([f"it cannot be read: {error.strerror}"]) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadDeclaration([f"it is no TOML: {error}"]) from error
    found = _File(text, secrets, plain_hosts)
    declaration = _declaration(found, values)
    if found.problems:
        raise BadDeclaration(found.problems)
    return declaration


def _declaration(file: _File, values: Mapping[str, Any]) -> Declaration:
    top = Section("", values, file.tell)
    accepted = top.section("accepted") or Section("accepted", {}, file.tell)
    refusal = top.section("refusal") or Section("refusal", {}, file.tell)
    abilities = top.section("capabilities") or Section("capabilities", {}, file.tell)
    found = Declaration(
        request=_call(file, top.section("request") or Section("request", {}, file.tell)),
        throttled=top.conditions("throttled"),
        not_sent=top.conditions("not_sent"),
        opted_out=top.conditions("opted_out"),
        refused_account=top.conditions("refused_account"),
        refused=top.conditions("refused"),
        accepted=accepted.conditions("when"),
        reference=accepted.where("reference"),
        retry_after=top.where("retry_after"),
        code=refusal.path("code"),
        reason=refusal.path("reason"),
        look_up=_question(file, top.section("look_up"), "look_up"),
        fetch=_question(file, top.section("fetch"), "fetch"),
        report=_listener(file, top.section("report"), PATHS),
        inbound=_listener(file, top.section("inbound"), INBOUND_PATHS),
        max_per_second=abilities.number("max_per_second", 5, 0.01, 100_000),
        encodings=abilities.texts("encodings"),
    )
    _check_accepted(accepted, found)
    for section in (top, accepted, refusal, abilities):
        section.end()
    return found


def _check_accepted(section: Section, found: Declaration) -> None:
    """A status alone proves nothing: many gateways refuse with 200."""
    if not found.accepted:
        section.wrong("when", "is needed: which answers mean that a text was taken")
    elif not all(each.statuses and each.looks_at_body for each in found.accepted):
        section.wrong("when", "must look at the status and at the body (json, contains or pattern)")
    if not (found.reference.path or found.reference.pattern or found.reference.header):
        section.wrong("reference", "is needed: the path of the gateway's reference (or reference_pattern)")


def _call(file: _File, section: Section) -> Call:
    places = [place for place in ("form", "json", "text") if section.has(place)]
    if len(places) > 1:
        section.wrong(places[1], f"and {section.name}.{places[0]} exclude each other: give one body")
    body: Any = None
    if "form" in places:
        body = section.texts("form", file.secrets)
    if "json" in places:
        body = section.tree("json", file.secrets)
    if "text" in places:
        body = section.template("text", file.secrets)
    found = Call(
        url=section.url("url", file.secrets, file.plain_hosts),
        method=section.text("method", "POST", "POST", "GET", "PUT"),
        headers=section.texts("headers", file.secrets),
        query=section.texts("query", file.secrets),
        place=places[0] if places else "none",  # type: ignore[arg-type]  # one of the three
        body=body,
        auth=section.text("auth", "none", "none", "basic", "bearer"),
        user=section.template("user", file.secrets),
        secret=section.template("secret", file.secrets),
        idempotency_header=section.text("idempotency_header"),
    )
    if found.method == "GET" and places:
        section.wrong(places[0], "cannot be sent by GET: use query")
    if found.auth != "none" and not found.secret:
        section.wrong("secret", f"is needed by auth = {found.auth}, for example {{secret.KEY}}")
    section.end()
    return found


def _question(file: _File, section: Section | None, kind: str) -> Question | None:
    if section is None:
        return None
    found, not_found = section.conditions("found"), section.conditions("not_found")
    if not found:
        section.wrong("found", "is needed: which answers mean that there is such a text")
    reference, status = section.where("reference"), section.path("status")
    if kind == "fetch" and not status:
        section.wrong("status", "is needed: the path of the state")
    return Question(call=_call(file, section), found=found, not_found=not_found, reference=reference, status=status)


def _listener(file: _File, section: Section | None, paths: tuple[str, ...]) -> Listener | None:
    if section is None:
        return None
    signature = section.text("signature", "token", "hmac", "basic", "token")
    states, answer_body = section.texts("states"), section.text("answer_body")
    found = Listener(
        method=section.text("method", "POST", "POST", "GET"),
        signature=signature,
        header=section.text("header").lower(),
        algorithm=section.text("algorithm", "sha256", "sha256", "sha1", "sha512"),
        encoding=section.text("encoding", "hex", "hex", "base64"),
        prefix=section.text("prefix"),
        user=section.template("user", file.secrets),
        secret=section.template("secret", file.secrets),
        paths={name: section.path(name) for name in paths},
        states=states,
        answer_status=int(section.number("answer_status", 200 if answer_body else 204, 200, 299)),
        answer_body=answer_body,
    )
    if signature != "token" and not found.secret:
        section.wrong("secret", f"is needed by signature = {signature}, for example {{secret.KEY}}")
    if signature == "hmac" and found.method == "GET":
        section.wrong("signature", "= hmac covers the body, and a GET has none: use basic or token")
    if signature == "hmac" and not found.header:
        section.wrong("header", "is needed by signature = hmac")
    for word, state in states.items():
        if state not in STATES:
            section.wrong(word, f"must be one of {', '.join(STATES)}")
    section.end()
    return found
