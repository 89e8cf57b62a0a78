"""Something that answers like Kannel's smsbox, as fast as it can: `python -m tests.bench.send.kannel LOG`."""

import json
import select
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TextIO

from aiohttp import web

from tests.outside import ROOT

USERNAME, PASSWORD = "bench", "a long benchmark password"
START_SECONDS = 20.0


class Kannel:
    """It, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "kannel.log"
        self.url = ""

    @property
    def settings(self) -> dict[str, str]:
        """The settings that make workers send to it, as fast as it can."""
        return {
            "SMS_GATEWAY": "kannel",
            "KANNEL_URL": self.url,
            "KANNEL_USERNAME": USERNAME,
            "KANNEL_PASSWORD": PASSWORD,
            "KANNEL_FROM": "smsqueue",
            "KANNEL_MAX_PER_SECOND": "100000",
        }

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.bench.send.kannel", str(self.log)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], START_SECONDS)[0], "it did not start"
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


def application(log: TextIO) -> web.Application:
    """Build what takes every text and writes down when, and to whom."""

    async def take(request: web.Request) -> web.Response:
        await request.read()
        line = {"time": datetime.now(UTC).isoformat(), "to": request.headers["X-Kannel-To"]}
        log.write(json.dumps(line) + "\n")
        return web.Response(status=202, text="0: Accepted for delivery")

    app = web.Application()
    app.router.add_post("/cgi-bin/sendsms", take)
    return app


def main(path: str) -> None:
    """Serve until it is told to stop; the first line is the port."""
    with Path(path).open("a", buffering=1) as log:
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        web.run_app(application(log), sock=listener, print=None, access_log=None)


if __name__ == "__main__":
    main(sys.argv[1])
