"""The gateway of a developer: writes what would be sent to a file, and sends nothing."""

import json
import os
import threading

from smsqueue.config import Settings
from smsqueue.core import clock
from smsqueue.core.phones import mask
from smsqueue.gateways.base import BadGateway, Deferred, Outcome, Outgoing, Sent, Traits


class LogGateway:
    """Accepts everything, as one JSON line each: masked number, and the text only where that is asked for."""

    name = "log"
    traits = Traits(is_idempotent=True, is_fake=True)
    connect_seconds = 0.0
    read_seconds = 0.0

    def __init__(self, settings: Settings) -> None:
        self._text = settings.log_gateway_text
        self._lock = threading.Lock()
        path = settings.log_gateway_file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BadGateway(
                f"LOG_GATEWAY_FILE ({path}) cannot be written ({error.strerror}): name another file."
            ) from error
        self._file = os.fdopen(file, "ab", buffering=0)

    def send(self, outgoing: Outgoing) -> Outcome:
        """Write one line; the same reference again gives the same answer."""
        line = json.dumps(self._entry(outgoing)).encode() + b"\n"
        try:
            with self._lock:
                self._file.write(line)
        except OSError as error:
            return Deferred(0, "unreachable", f"The gateway's file cannot be written ({error.strerror}).")
        return Sent(f"log-{outgoing.reference}", outgoing.segments)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _entry(self, outgoing: Outgoing) -> dict[str, object]:
        entry: dict[str, object] = {
            "time": clock.now().isoformat(timespec="milliseconds"),
            "reference": outgoing.reference,
            "to": mask(outgoing.to),
            "sender": outgoing.sender,
            "encoding": outgoing.encoding,
            "segments": outgoing.segments,
        }
        return entry | {"text": outgoing.text} if self._text else entry
