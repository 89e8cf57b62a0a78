"""The mailbox: an SMTP server that keeps the newest mails for the page."""

from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from aiosmtpd.smtp import SMTP

from smsqueue.simulator.world import Mail, World

LARGEST = 10 * 1024 * 1024


class Mailbox:
    """Accepts every mail to anybody and delivers it nowhere."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._count = 0

    def protocol(self) -> Any:
        """One SMTP conversation, as `loop.create_server` asks for it."""
        return SMTP(
            self, hostname="simulator", ident="smsqueue simulator", data_size_limit=LARGEST, enable_SMTPUTF8=True
        )

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        """Keep one mail."""
        mail = BytesParser(EmailMessage, policy=policy.default).parsebytes(envelope.content)
        self._count += 1
        self._world.mails.appendleft(
            Mail(
                number=self._count,
                time=datetime.now(UTC),
                sender=str(mail.get("From", envelope.mail_from)),
                to=tuple(envelope.rcpt_tos),
                subject=str(mail.get("Subject", "")),
                date=str(mail.get("Date", "")),
                message_id=str(mail.get("Message-ID", "")),
                text=_part(mail, "plain"),
                html=_part(mail, "html"),
            )
        )
        return "250 Kept"


def _part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    if part is None:
        return ""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        return payload.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # a charset that nobody knows
        return payload.decode("utf-8", "replace")
