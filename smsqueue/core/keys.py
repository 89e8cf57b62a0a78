"""Secrets that sign: which are too weak, and one of our own where nobody has set one."""

import os
import secrets
from pathlib import Path

LENGTH = 32
FEWEST_DIFFERENT = 8


def is_weak(secret: str) -> bool:
    """Say whether a signing secret is short, monotonous or still the one of an example."""
    return len(secret) < LENGTH or len(set(secret)) < FEWEST_DIFFERENT or secret.lower().startswith("change")


def keep_secret(file: Path) -> str:
    """Return the secret kept in `file`; make one, readable to nobody else, when there is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        _write_once(file, secrets.token_urlsafe(LENGTH))
    return file.read_text(encoding="ascii").strip()


def _write_once(file: Path, secret: str) -> None:
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    draft.touch(mode=0o600, exist_ok=False)
    try:
        draft.write_text(secret, encoding="ascii")
        os.link(draft, file)  # whole or not at all
    except FileExistsError:
        return  # another process was faster, and its secret is as good
    finally:
        draft.unlink()
