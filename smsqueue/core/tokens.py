"""JSON Web Tokens signed by an RSA key (RS256): who has the public half knows that they are ours."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

FEWEST_BITS = 2048
HEADER = {"alg": "RS256", "typ": "JWT"}


class BadKey(ValueError):
    """What was given is no RSA private key to sign with; the message says why, and nothing of the key."""


def read_key(pem: str) -> RSAPrivateKey:
    """Read an RSA private key in PEM form; raises BadKey."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey("is no private key in PEM form, or has a password") from error
    if not isinstance(key, RSAPrivateKey):
        raise BadKey("is no RSA key")
    if key.key_size < FEWEST_BITS:
        raise BadKey(f"has {key.key_size} bits, at least {FEWEST_BITS} are needed")
    return key


def sign(claims: Mapping[str, Any], key: RSAPrivateKey) -> str:
    """Write a token that says `claims`."""
    written = f"{_encoded(HEADER)}.{_encoded(claims)}"
    return f"{written}.{_in_base64(key.sign(written.encode(), PKCS1v15(), SHA256()))}"


def _encoded(values: Mapping[str, Any]) -> str:
    return _in_base64(json.dumps(values, separators=(",", ":")).encode())


def _in_base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode("ascii").rstrip("=")
