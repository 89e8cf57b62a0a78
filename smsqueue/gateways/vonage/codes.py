"""The codes of Vonage's two APIs: what each answer and each report means to us."""

from smsqueue.gateways.base import Ending
from smsqueue.gateways.tables import Meaning, account, our_bug, refused, throttled, unknown

SMS: dict[str, Meaning] = {
    "1": throttled("The gateway asks for fewer messages"),
    "10": throttled("There are too many connections to the gateway"),
    "2": our_bug("A field is missing"),
    "12": our_bug("The text is too long"),
    "22": our_bug("The code of a network is wrong"),
    "3": refused("A value is not valid"),
    "6": refused("The prefix of this number is not known"),
    "7": refused("This number is barred"),
    "17": refused("The network blocks this number"),
    "33": refused("This number was switched off"),
    "4": account("Our credentials are not accepted"),
    "14": account("Our signature is not accepted"),
    "32": account("Our signature is not accepted"),
    "8": account("The account is suspended"),
    "9": account("The account at the gateway is empty"),
    "11": account("The account may not send over HTTP"),
    "15": account("This sender is not allowed"),
    "23": account("The address for reports is not accepted"),
    "29": account("A demo account sends to listed numbers only"),
    "5": unknown("The gateway had an internal error"),
}

SMS_STATES: dict[str, Ending] = {
    "accepted": "sent",
    "buffered": "sent",
    "unknown": "sent",
    "delivered": "delivered",
    "expired": "expired",
    "failed": "undelivered",
    "rejected": "undelivered",
}

SMS_REPORTS: dict[str, Meaning] = {
    "1": refused("The network does not say why", may_retry=True),
    "2": refused("The phone is out of reach for now", may_retry=True),
    "3": refused("There is no such number any more"),
    "4": refused("The phone or its network blocks us"),
    "6": refused("The network took the text for spam"),
    "7": refused("The phone could not take the text for now", may_retry=True),
    "8": refused("The network had an error", may_retry=True),
    "9": refused("The recipient has opted out", opted_out=True),
    "12": refused("The number cannot be reached"),
    "15": refused("The phone has no money left"),
    **{str(code): account("The rules of this country are not met") for code in range(50, 55)},
    "99": refused("The gateway does not say why", may_retry=True),
}

MESSAGES: dict[str, Meaning] = {
    "1420": account("This sender is not allowed"),
    "1450": our_bug("Our reference is not accepted"),
    "1431": our_bug("Only one recipient is allowed in a call"),
    "1020": refused("A value is not valid"),
    "1170": refused("This is not a phone number"),
    **{str(code): refused("The gateway refuses the message") for code in (*range(1400, 1420), *range(1421, 1431))},
    **{str(code): refused("The gateway refuses the message") for code in range(1432, 1441)},
}

MESSAGES_STATES: dict[str, Ending] = {
    "submitted": "sent",
    "delivered": "delivered",
    "rejected": "undelivered",
    "undeliverable": "undelivered",
}

NOT_BILLED = {
    **{code: refused("The gateway could not send it", may_retry=True) for code in ("1000", "1100", "1331")},
    **{
        code: account("The gateway refuses our account or sender")
        for code in ("1060", "1070", "1120", "1460", "1480", "1481", "1482", "1483", "1484")
    },
}
OPTED_OUT = {"1240": refused("The recipient has opted out", opted_out=True)}
EXPIRED = "1360"
PARTS_MISSING = "1490"
