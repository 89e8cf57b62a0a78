"""Starts and stops the outside world."""

import argparse
import asyncio
import errno
import os
import signal
import socket
import sys
from contextlib import closing
from pathlib import Path

from aiohttp import web

from smsqueue.simulator.doors import Doors
from smsqueue.simulator.gateway import SmsGateway
from smsqueue.simulator.journal import BadLog, Journal
from smsqueue.simulator.mailbox import Mailbox
from smsqueue.simulator.options import Options, WrongOption
from smsqueue.simulator.page import Page
from smsqueue.simulator.reports import Reporter
from smsqueue.simulator.settings import SettingsDoor
from smsqueue.simulator.world import World

HOST = "127.0.0.1"  # an open gateway and mailbox are nobody else's business
LARGEST_BODY = 64 * 1024
QUIET_SECONDS, CLOSE_SECONDS = 0.3, 1.2


def main(arguments: list[str] | None = None) -> None:
    """The command line of `python -m smsqueue.simulator`."""
    parser = argparse.ArgumentParser(
        prog="python -m smsqueue.simulator",
        description="A simulated SMS gateway, a mailbox and a page of phones. Nothing leaves this machine.",
        epilog="Example: python -m smsqueue.simulator --port 8025 --smtp-port 8026 --log simulated.log",
    )
    parser.add_argument("--port", type=int, default=8025, help="port of gateway and page; 0 takes a free one")
    parser.add_argument("--smtp-port", type=int, default=8026, help="port of the mailbox; 0 takes a free one")
    parser.add_argument("--log", type=Path, default=Path("simulated.log"), help="file for the messages that are taken")
    given = parser.parse_args(arguments)
    try:
        options = Options.from_env(os.environ)
    except WrongOption as error:
        raise SystemExit(str(error)) from error
    serve(given.port, given.smtp_port, given.log, options)


def serve(port: int, smtp_port: int, log: Path, options: Options) -> None:
    """Run until TERM or INT; what prevents the start ends the process with a sentence and exit code 1."""
    try:
        with (
            closing(_listen(port, "--port")) as http,
            closing(_listen(smtp_port, "--smtp-port")) as smtp,
            closing(Journal(log)) as journal,
        ):
            world = World(options)
            world.remember(journal.taken())
            world.remember(journal.refused())
            asyncio.run(_run(world, journal, http, smtp))
    except BadLog as error:
        raise SystemExit(str(error)) from error


def application(world: World, journal: Journal, doors: Doors, reporter: Reporter) -> web.Application:
    """The HTTP side: gateway, page and settings."""
    gateway, page, settings = SmsGateway(world, journal, doors, reporter), Page(world), SettingsDoor(world)
    app = web.Application(client_max_size=LARGEST_BODY)
    app.add_routes(
        [
            web.post("/messages", gateway.post),
            web.get("/messages/{reference}", gateway.look_up),
            web.get("/states/{id}", gateway.state),
            web.get("/settings", settings.get),
            web.put("/settings", settings.put),
            web.get("/", page.show),
            web.get("/style.css", page.style),
            web.get("/phones.json", page.phones),
            web.get("/mails.json", page.mails),
            web.get(r"/mails/{number:\d{1,9}}.html", page.mail_html),
        ]
    )
    return app


async def _run(world: World, journal: Journal, http: socket.socket, smtp: socket.socket) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    doors, reporter = Doors(), Reporter(world)
    runner = web.AppRunner(application(world, journal, doors, reporter), access_log=None, shutdown_timeout=0.3)
    await runner.setup()
    if runner.server is None:  # pragma: no cover  # set by setup()
        raise RuntimeError("aiohttp made no server")
    gateway = await loop.create_server(runner.server, sock=http, backlog=1024)
    mailbox = await loop.create_server(Mailbox(world).protocol, sock=smtp)
    _announce(world, journal, http, smtp)
    await stop.wait()
    gateway.close()
    mailbox.close()
    await doors.close(QUIET_SECONDS, CLOSE_SECONDS)
    await reporter.close()
    await runner.cleanup()


def _announce(world: World, journal: Journal, http: socket.socket, smtp: socket.socket) -> None:
    web_port, smtp_port = http.getsockname()[1], smtp.getsockname()[1]
    sys.stdout.write(
        f"The outside world: http://{HOST}:{web_port}/ mailbox smtp://{HOST}:{smtp_port} "
        f"log {journal.path} seed {world.options.seed}\n"
    )
    sys.stdout.flush()


def _listen(port: int, option: str) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=1024)
    except (OSError, OverflowError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        why = "is taken" if taken else f"cannot be used ({getattr(error, 'strerror', None) or error})"
        raise SystemExit(f"Port {port} of {HOST} {why}: choose another with {option}.") from error
