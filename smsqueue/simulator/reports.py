"""Delivery reports and answers from phones, told to a callback URL when one is set."""

import asyncio
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import aiohttp

from smsqueue.simulator.fates import Fate
from smsqueue.simulator.messages import Message
from smsqueue.simulator.world import Taken, World

SIGNATURE = "X-Simulator-Signature"
TRIES = 5


class Reporter:
    """Tells what became of messages, signed, up to five times each until the callback answers 2xx."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def follow(self, message: Message, taken: Taken, fate: Fate) -> None:
        """Report on a message later; without a callback URL nobody is told."""
        if self._world.options.callback_url:
            task = asyncio.get_running_loop().create_task(self._tell_all(message, taken, fate))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Drop what has not been told yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    async def _tell_all(self, message: Message, taken: Taken, fate: Fate) -> None:
        options = self._world.options
        await asyncio.sleep(options.report_delay_ms / 1000)
        for state in self._states(fate):
            await self._tell({"kind": "report", "reference": message.reference, "id": taken.id, "state": state})
        if fate.replies:
            answer = {"kind": "inbound", "from": message.to, "to": message.sender, "text": fate.replies}
            await self._tell(answer)

    def _states(self, fate: Fate) -> list[str]:
        options = self._world.options
        states = [state for state in fate.reports if not self._world.happens(options.p_report_lost)]
        if self._world.happens(options.p_report_swapped):
            states.reverse()
        if self._world.happens(options.p_report_twice):
            states = [state for state in states for _ in range(2)]
        return states

    async def _tell(self, values: dict[str, Any]) -> None:
        body = json.dumps(values | {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}).encode()
        for tried in range(TRIES):
            if await self._post(body):
                return
            await asyncio.sleep(0.5 * 2**tried)

    async def _post(self, body: bytes) -> bool:
        options = self._world.options
        if not options.callback_url or not options.callback_secret:
            return True  # switched off meanwhile
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        signature = hmac.new(options.callback_secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", SIGNATURE: f"sha256={signature}"}
        try:
            async with self._session.post(options.callback_url, data=body, headers=headers) as response:
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False
