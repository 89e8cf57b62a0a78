"""The GSM-7 alphabet (3GPP TS 23.038), and line ends as they are counted and sent."""

GSM_BASIC = (
    "\n\r !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
    "£¥§¿¡¤èéùìòàÇØøÅåÆæßÉÄÖÑÜäöñüΔΦΓΛΩΠΨΣΘΞ"
)
GSM_EXTENSION = "\f^{}\\[~]|€"  # each costs two septets: an escape and the character


def clean(text: str) -> str:
    """Return the text with every kind of line end turned into LF, as it is counted and sent."""
    if "\r" not in text:
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n")
