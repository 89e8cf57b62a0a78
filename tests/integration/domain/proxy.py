"""A wire between the program and its database server that a test can cut."""

import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa

BUFFER = 65_536
MARK, COMMIT = b"INSERT INTO sms_attempts", b"COMMIT"


class Proxy:
    """Passes connections on to the server of `url`; `with Proxy(url) as proxy: build_engine(proxy.url)`."""

    def __init__(self, url: str) -> None:
        self._target = sa.make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._is_cut = self._is_over = False
        self._loses: set[bool] = set()
        self.lost_answers = 0

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for each in (*self._open, self._listener):
            each.close()

    @property
    def url(self) -> str:
        """The database's address by way of this wire."""
        port = self._listener.getsockname()[1]
        query = {name: value for name, value in self._target.query.items() if name != "host"}
        target = self._target.set(host="127.0.0.1", port=port, query=query)
        return target.render_as_string(hide_password=False)

    def cut(self) -> None:
        """Break every connection and let nobody in."""
        self._is_cut = True
        with self._lock:
            for each in self._open:
                _break(each)

    def lose_answer(self, *, to_attempts: bool = False) -> None:
        """Lose the answer to the next commit, or to the next one of a transaction that wrote attempts."""
        self._loses = {True} if to_attempts else {True, False}

    def is_to_be_lost(self, *, wrote_attempts: bool) -> bool:
        """Say, once, whether the answer to this commit is the one to lose."""
        with self._lock:
            found = wrote_attempts in self._loses
            self._loses = set() if found else self._loses
            return found

    def mend(self) -> None:
        """Let everybody in again."""
        self._is_cut = False

    def _accept(self) -> None:
        while not self._is_over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                client.close()
            else:
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        server = self._server()
        with self._lock:
            self._open |= {client, server}
        wire = _Wire(self, client, server)
        pumps = [threading.Thread(target=wire.to_server), threading.Thread(target=wire.to_client)]
        self._threads += pumps
        for pump in pumps:
            pump.start()

    def _server(self) -> socket.socket:
        folder = self._target.query.get("host")
        if isinstance(folder, str):
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(next(Path(folder).glob(".s.PGSQL.*[0-9]"))))
            return server
        return socket.create_connection((self._target.host or "127.0.0.1", self._target.port or 3306))


class _Wire:
    """One connection, both ways."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self._is_marked = self._loses = False

    def to_server(self) -> None:
        """Pass on what the program says."""
        try:
            while data := self.client.recv(BUFFER):
                self._is_marked = self._is_marked or MARK in data
                if COMMIT in data:
                    self._loses = self.proxy.is_to_be_lost(wrote_attempts=self._is_marked)
                    self._is_marked = False
                self.server.sendall(data)
        except OSError:
            return
        finally:
            _break(self.server)

    def to_client(self) -> None:
        """Pass on what the server says, unless it is the answer to be lost."""
        try:
            while data := self.server.recv(BUFFER):
                if self._loses:
                    self.proxy.lost_answers += 1
                    return
                self.client.sendall(data)
        except OSError:
            return
        finally:
            _break(self.client)


def _break(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is broken already
