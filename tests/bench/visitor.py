"""A person at the pages of the real web server, over HTTP, signed in by the form."""

import re
from html import unescape
from types import TracebackType
from typing import Any, Self

from requests import Response, Session

from tests.bench import audience

HIDDEN = re.compile(r'<input[^>]*name="(csrf_token|token)"[^>]*value="([^"]+)"')


class Visitor:
    """Follows redirects as a browser does, and sends each page's hidden fields with its form."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.session = Session()
        page = self.get("/login")
        answer = self.post("/login", page, data={"email": audience.EMAIL, "password": audience.PASSWORD})
        assert not answer.url.endswith("/login"), "signing in failed"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()

    def get(self, path: str, **options: Any) -> Response:
        """Open a page."""
        return _good(self.session.get(f"{self.base_url}{path}", timeout=120, **options))

    def post(self, path: str, page: Response, *, data: dict[str, str], **options: Any) -> Response:
        """Send the form of a page and open where it leads."""
        values = {**hidden(page), **data}
        return _good(self.session.post(f"{self.base_url}{path}", data=values, timeout=120, **options))


def hidden(page: Response) -> dict[str, str]:
    """Return the tokens in a page's forms."""
    return {name: unescape(value) for name, value in HIDDEN.findall(page.text)}


def _good(answer: Response) -> Response:
    assert answer.status_code == 200, f"{answer.url}: {answer.status_code} {answer.text[:500]}"
    return answer
