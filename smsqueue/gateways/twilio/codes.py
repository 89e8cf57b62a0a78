"""Twilio's codes: what each answer and each report means to us."""

from smsqueue.gateways.base import Ending
from smsqueue.gateways.tables import Meaning, account, our_bug, refused, throttled

ANSWERS: dict[str, Meaning] = {
    "21211": refused("This is not a phone number"),
    "21268": refused("This is a premium number"),
    "21612": refused("There is no route from our sender to this number"),
    "21614": refused("This is not a mobile number"),
    "21635": refused("A landline cannot receive texts"),
    "21610": refused("The recipient has opted out", opted_out=True),
    "21408": refused("This country is switched off in the account, or under embargo", may_retry=True),
    "21602": our_bug("The text is empty"),
    "21604": our_bug("There is no recipient"),
    "21617": our_bug("The text is too long"),
    "21658": our_bug("The text is too long"),
    "21212": account("The sender is no valid number"),
    "21603": account("The sender is missing"),
    "21606": account("The sender is not a number of the account that can send texts"),
    "21659": account("The sender is not a number of the account"),
    "21660": account("The sender does not belong to the account"),
    "21608": account("A trial account sends to verified numbers only"),
    "21611": throttled("The queue of our sender is full", after_seconds=60),
    "20003": account("Our credentials are not accepted"),
    "10001": account("The account is not active"),
    "20404": account("There is no such account"),
    "63038": account("The account's daily limit is reached"),
    "20429": throttled("The gateway asks for fewer messages"),
}

STATES: dict[str, Ending] = {
    "accepted": "sent",
    "scheduled": "sent",
    "queued": "sent",
    "sending": "sent",
    "sent": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "partially_delivered": "undelivered",
    "failed": "failed",
    "canceled": "cancelled",
}

EXPIRED = "30036"
REPORTS: dict[str, Meaning] = {
    "21610": refused("The recipient has opted out", opted_out=True),
    "30001": refused("The gateway's queue overflowed", may_retry=True),
    "30002": account("The account is suspended"),
    "30003": refused("The phone is off or out of reach", may_retry=True),
    "30004": refused("The phone or its network blocks us"),
    "30005": refused("There is no such number"),
    "30006": refused("A landline cannot receive texts"),
    "30007": refused("The network took the text for spam"),
    "30008": refused("The network does not say why", may_retry=True),
    "30022": refused("A limit of US networks is reached", may_retry=True),
    "30023": refused("A daily limit of US networks is reached", may_retry=True),
    "30034": account("The sender is not registered in the US"),
    EXPIRED: refused("The text was too old"),
    "30450": refused("The number is blocked against pumping of traffic"),
}
