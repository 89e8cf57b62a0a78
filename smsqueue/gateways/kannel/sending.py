"""Hand a text to smsbox, one number a call: among several, a bad one vanishes without a word."""

from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import parse_qsl, urlencode, urlsplit

from smsqueue.config import Settings
from smsqueue.gateways.adapter import HttpAdapter
from smsqueue.gateways.base import Callback, Inbound, Outcome, Outgoing, Report, Sent, Traits, Verdict
from smsqueue.gateways.callbacks import INBOUND, Address, from_unix, plus, query_of
from smsqueue.gateways.http import Answer, Request, by_status, tidy
from smsqueue.gateways.kannel import codes
from smsqueue.gateways.tables import Table

MASK = "31"  # 8 comes at once, and turns unknown into sent
ASKED = "?type=%d&at=%T&why=%A"
HEADERS = {
    "user": "X-Kannel-Username",
    "pass": "X-Kannel-Password",
    "to": "X-Kannel-To",
    "from": "X-Kannel-From",
    "coding": "X-Kannel-Coding",
    "dlr-mask": "X-Kannel-DLR-Mask",
    "dlr-url": "X-Kannel-DLR-Url",
    "smsc": "X-Kannel-SMSC",
    "validity": "X-Kannel-Validity",
}


class KannelGateway(HttpAdapter):
    """There is no message id and no look-up: our reference in `dlr-url` is the only thread."""

    name = "kannel"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.table = Table(self.name, codes.ANSWERS)
        self._url = f"{settings.kannel_url}/cgi-bin/sendsms"
        self._is_post = settings.kannel_method == "post"
        self._has_plus = settings.kannel_plus
        self._fixed = {"user": settings.kannel_username, "pass": settings.kannel_password, "from": settings.kannel_from}
        if settings.kannel_smsc:
            self._fixed["smsc"] = settings.kannel_smsc
        self._address = Address.of(settings, self.name)
        self._callers = tuple(ip_network(each, strict=False) for each in settings.kannel_callback_addresses)
        self.traits = Traits(
            safe_5xx=f'503 with "{codes.QUEUE_FULL}"',
            max_per_second=settings.kannel_max_per_second,
            has_reports=self._address is not None,
            has_inbound=self._address is not None,
            answer_status=200,  # it takes a 204 for a failure
        )

    def request(self, outgoing: Outgoing) -> Request:
        """Write the one request of a text; by POST, number, text and password stay out of the address."""
        fields = self._fixed | {
            "to": outgoing.to if self._has_plus else outgoing.to.removeprefix("+"),
            "coding": "2" if outgoing.encoding == "ucs-2" else "0",
        }
        if outgoing.validity_seconds:
            fields["validity"] = str(-(-outgoing.validity_seconds // 60))
        if self._address:
            fields |= {"dlr-mask": MASK, "dlr-url": self._address.url_with_token(outgoing.reference) + ASKED}
        if not self._is_post:
            query = urlencode(fields | {"charset": "UTF-8", "text": outgoing.text})
            return Request("GET", f"{self._url}?{query}", {})
        headers = {HEADERS[name]: value for name, value in fields.items()}
        headers["Content-Type"] = "text/plain; charset=UTF-8"
        return Request("POST", self._url, headers, outgoing.text.encode())

    def read(self, answer: Answer) -> Outcome:
        """Say what an answer means."""
        words = answer.body[:1000].decode("utf-8", "replace").strip()
        if answer.status == 202 and words in codes.TAKEN:
            return self.table.accepted(Sent(""))
        return self.table.outcome(codes.name_of(answer.status, words), words, by_status(answer))

    def verify(self, callback: Callback) -> Verdict:
        """Compare the token of the path, and where the operator says so, who calls."""
        if self._address is None:
            return Verdict.UNSIGNED
        found = self._address.verify(callback)
        return found if self._may_call(callback.remote) else Verdict.FORGED

    def reports(self, callback: Callback) -> list[Report]:
        """Read the one report of a callback; our reference is in its path."""
        values = dict(query_of(callback))
        code = values.get("type", "")
        state = codes.STATES.get(code)
        if state is None or callback.reference == INBOUND:
            return []
        at, why = from_unix(values.get("at", "")), tidy(values.get("why"))
        return [Report(state=state, reference=callback.reference, code=code, reason=why, at=at)]

    def inbound(self, callback: Callback) -> Inbound | None:
        """Read a text that came in, in whatever alphabet it came."""
        if callback.reference != INBOUND:
            return None
        # The text is bytes: read letter for letter first, since its alphabet is told beside it.
        raw = dict(parse_qsl(urlsplit(callback.url).query, keep_blank_values=True, encoding="latin-1"))
        values = dict(query_of(callback))
        if not values.get("from") or "text" not in raw:
            return None
        return Inbound(
            sender=plus(values["from"]),
            to=plus(values.get("to")),
            text=_decoded(raw["text"].encode("latin-1"), values.get("charset", ""), values.get("coding", "")),
            gateway_reference=values.get("id", ""),
            at=from_unix(values.get("at", "")),
        )

    def _may_call(self, remote: str) -> bool:
        if not self._callers:
            return True
        try:
            address = ip_address(remote)
        except ValueError:
            return False
        # A socket that takes both kinds spells the old ones ::ffff:127.0.0.1.
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any(address in network or (mapped and mapped in network) for network in self._callers)


def _decoded(text: bytes, charset: str, coding: str) -> str:
    alphabet = charset or ("utf-16-be" if coding == "2" else "utf-8")
    try:
        return text.decode(alphabet)
    except (LookupError, ValueError):  # also what is no name at all, and codecs that always fail
        return text.decode("utf-8", "replace")
