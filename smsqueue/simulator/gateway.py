"""The HTTP SMS gateway: POST /messages, GET /messages/{reference} and GET /states/{id}."""

import hashlib
import json
import time
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from smsqueue.simulator.doors import Doors
from smsqueue.simulator.fates import Answer, Refusal
from smsqueue.simulator.journal import Journal
from smsqueue.simulator.messages import BadMessage, Message, parse
from smsqueue.simulator.reports import Reporter
from smsqueue.simulator.world import Taken, Verdict, World

NONSENSE = b"<html>It works!</html>"
BAD_REQUEST = Refusal(400, "bad_request", "")


class SmsGateway:
    """Takes messages, or not, and answers, or not, as the world decides."""

    def __init__(self, world: World, journal: Journal, doors: Doors, reporter: Reporter) -> None:
        self._world = world
        self._journal = journal
        self._doors = doors
        self._reporter = reporter

    async def post(self, request: web.Request) -> web.Response:
        """One message; when it is taken, its line is on the disk before this waits for the latency and answers."""
        with self._doors.opened():
            try:
                message = parse(await request.read())
            except BadMessage as error:
                return _json(400, _refused(BAD_REQUEST, str(error)))
            delay = self._world.delay_seconds()
            verdict = self._world.judge(message)
            try:
                taken = await self._take(message, verdict)
            except OSError as error:
                return _json(500, {"error": f"the log cannot be written: {error.strerror}"})
            await self._doors.wait(delay)
            response = await self._answer(request, verdict, taken)
            if self._doors.closing:
                response.force_close()
            return response

    async def look_up(self, request: web.Request) -> web.Response:
        """Was the message with this reference taken? Within the lag this lies."""
        options = self._world.options
        if not options.lookup:
            return _json(501, {"error": "look-up is off"})
        taken = self._world.taken.get(request.match_info["reference"])
        if taken is None or time.time() - taken.at < options.lookup_lag_ms / 1000:
            return _json(200, {"taken": False})
        return _json(200, {"taken": True, "reference": taken.id, "segments": taken.segments})

    async def state(self, request: web.Request) -> web.Response:
        """What has become of the message with this id of ours?"""
        state = self._world.state_of(request.match_info["id"])
        return _json(200, {"state": state}) if state else _json(404, {"error": "no such message"})

    async def _take(self, message: Message, verdict: Verdict) -> Taken | None:
        if not verdict.taken:
            self._journal.refuse(_entry(message, verdict))
            return None
        taken = verdict.first or self._world.take(message, verdict.fate)
        try:
            await self._journal.take(_entry(message, verdict) | {"id": taken.id})
        except OSError:
            if not verdict.first:
                self._world.forget(message, taken)
            raise
        if not verdict.first:
            self._world.deliver(message, verdict.fate)
            self._reporter.follow(message, taken, verdict.fate)
        return taken

    async def _answer(self, request: web.Request, verdict: Verdict, taken: Taken | None) -> web.Response:
        match verdict.answer:
            case Answer.ACCEPT if taken:
                return _json(201, {"reference": taken.id, "segments": taken.segments})
            case Answer.REFUSE if verdict.fate.refusal:
                return _json(verdict.fate.refusal.status, _refused(verdict.fate.refusal))
            case Answer.THROTTLE:
                return _json(429, {"error": "too many requests"}, {"Retry-After": "1"})
            case Answer.UNREACHABLE:
                return _json(503, {"error": "unreachable", "taken": False})
            case Answer.NONSENSE:
                return web.Response(body=NONSENSE, content_type="text/html")
            case Answer.HANG | Answer.CUT:
                return await self._cut(request, hang=verdict.answer is Answer.HANG)
            case _:
                return _json(500, {"error": "internal error"})

    async def _cut(self, request: web.Request, hang: bool) -> web.Response:
        """Say nothing, now or when the process ends."""
        if hang:
            await self._doors.wait(None)
        if request.transport:
            request.transport.abort()
        return web.Response()


def _entry(message: Message, verdict: Verdict) -> dict[str, Any]:
    """One line of the log.

    `attempt`: the how-manieth call with this `to` this is since the log began, whatever its reference was and whatever
    became of it. `again`: true when it repeats a reference that was taken before and nothing was taken a second time.
    """
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "reference": message.reference,
        "attempt": verdict.attempt,
        "to": message.to,
        "segments": message.segments,
        "fate": verdict.fate.name,
        "again": verdict.first is not None,
        "text_sha256": hashlib.sha256(message.text.encode(errors="surrogatepass")).hexdigest(),
    }


def _refused(refusal: Refusal, reason: str | None = None) -> dict[str, Any]:
    return {
        "code": refusal.code,
        "reason": reason or refusal.reason,
        "scope": refusal.scope,
        "opted_out": refusal.opted_out,
    }


def _json(status: int, values: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    body = json.dumps(values).encode()
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")
