"""Other HTTP clients, made to look like ours. Only to be measured: what a broken call proves is not worked out here."""

import asyncio
import importlib
import threading
from collections.abc import Coroutine
from typing import Any

import aiohttp
import urllib3

from smsqueue.gateways.base import Unknown
from smsqueue.gateways.connections import TimedPool
from smsqueue.gateways.http import AGENT, Answer, HttpCaller, Request

HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": AGENT}


class Urllib3Caller:
    """urllib3's pool, on our own connections, which is what `requests` stands on."""

    def __init__(self, *, concurrency: int, connect_seconds: float, read_seconds: float) -> None:
        self._pools = urllib3.PoolManager(concurrency, maxsize=concurrency)
        self._pools.pool_classes_by_scheme = {"http": TimedPool, "https": urllib3.HTTPSConnectionPool}
        self._timeout = urllib3.Timeout(connect=connect_seconds, read=read_seconds)

    def call(self, request: Request) -> Answer | Unknown:
        """Make one call."""
        headers = {**HEADERS, **request.headers}
        options = {"body": request.body, "headers": headers, "timeout": self._timeout}
        response = self._pools.urlopen(request.method, request.url, retries=False, redirect=False, **options)
        return Answer(response.status, response.headers, response.data)

    def close(self) -> None:
        """Close all connections."""
        self._pools.clear()


class HttpxCaller:
    """httpx, with one client for all threads."""

    def __init__(self, *, concurrency: int, connect_seconds: float, read_seconds: float) -> None:
        httpx: Any = importlib.import_module("httpx")
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        timeout = httpx.Timeout(read_seconds, connect=connect_seconds)
        self._client = httpx.Client(limits=limits, timeout=timeout, trust_env=False, headers=HEADERS)

    def call(self, request: Request) -> Answer | Unknown:
        """Make one call."""
        response = self._client.request(
            request.method, request.url, content=request.body, headers=dict(request.headers)
        )
        return Answer(response.status_code, response.headers, response.content)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class AiohttpCaller:
    """aiohttp, in a thread of its own that runs the loop; the senders' threads wait for it."""

    def __init__(self, *, concurrency: int, connect_seconds: float, read_seconds: float) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._timeout = aiohttp.ClientTimeout(total=connect_seconds + read_seconds)
        self._session = self._wait(self._open(concurrency))

    def call(self, request: Request) -> Answer | Unknown:
        """Make one call."""
        answer: Answer = self._wait(self._call(request))
        return answer

    def close(self) -> None:
        """Close all connections."""
        self._wait(self._session.close())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, concurrency: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=concurrency)
        return aiohttp.ClientSession(connector=connector, timeout=self._timeout, headers=HEADERS)

    async def _call(self, request: Request) -> Answer:
        options: Any = {"data": request.body, "headers": request.headers, "allow_redirects": False}
        async with self._session.request(request.method, request.url, **options) as response:
            return Answer(response.status, response.headers, await response.read())


CLIENTS: dict[str, type[Any]] = {
    "requests": HttpCaller,
    "urllib3": Urllib3Caller,
    "httpx": HttpxCaller,
    "aiohttp": AiohttpCaller,
}
