"""Style sheets, scripts and icons: their addresses carry a hash of what is in them, so browsers keep them for good."""

import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Flask, current_app, request, url_for
from flask.wrappers import Response

BOOTSTRAP = "vendor/bootstrap-5.3.9/bootstrap.min.css"
YEAR = 31_536_000


def static_url(filename: str) -> str:
    """Return the address of a static file, with the hash that makes it last."""
    return url_for("static", filename=filename, h=_digest(filename))


def _digest(filename: str) -> str:
    file = Path(current_app.static_folder or "") / filename
    return _digest_of(str(file), file.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of(file: str, _changed: int) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]


def _cache(response: Response) -> Response:
    if request.endpoint != "static" or response.status_code not in (200, 304):
        return response
    filename = (request.view_args or {})["filename"]
    fresh = request.args.get("h") == _digest(filename)
    response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable" if fresh else "no-cache"
    return response


def install(app: Flask) -> None:
    """Give templates `static_url(filename)` and `BOOTSTRAP`."""
    app.after_request(_cache)
    app.jinja_env.globals.update(static_url=static_url, BOOTSTRAP=BOOTSTRAP)
