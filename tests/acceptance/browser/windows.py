"""Browser windows that notice whatever a page must not do."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, WebError

AXE = Path(__file__).parents[2] / "vendor" / "axe-core-4.14.1" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
TELL = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`the policy forbids ${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""
RUN_AXE = """async (tags) => {
  const rules = { "target-size": { enabled: true } };
  const options = { runOnly: tags, rules, resultTypes: ["violations"], preload: false };
  const found = await axe.run(document, options);
  return found.violations.flatMap(({ id, help, nodes }) => nodes.map(({ html, failureSummary }) =>
    `${id} (${help}): ${html.slice(0, 200)}\\n    ${failureSummary.replaceAll("\\n", " ")}`));
}"""
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const clipped = (element) => element.closest(".visually-hidden, .cards > thead");
  const wide = [...document.querySelectorAll("body *")].filter(
    (element) => element.getBoundingClientRect().right > width + 1 && !clipped(element));
  const named = wide.slice(0, 5).map((element) => element.outerHTML.slice(0, 150));
  return [`${document.documentElement.scrollWidth} px`, ...named];
}"""


class Window:
    """A browser profile with one page on one site; `problems` is what went wrong in it so far."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.context, self.origin = context, origin
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._allowed: list[re.Pattern[str]] = []
        context.add_init_script(TELL)
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("request", self._request)
        context.on("dialog", self._dialog)
        self.page: Page = context.new_page()

    def allow(self, pattern: str) -> None:
        """Forgive what a test brings about on purpose."""
        self._allowed.append(re.compile(pattern))
        self.problems = [problem for problem in self.problems if not re.search(pattern, problem)]

    def axe(self) -> list[str]:
        """Name what WCAG 2.2 AA forbids, as far as axe-core sees it."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: list[str] = self.page.evaluate(RUN_AXE, TAGS)
        return found

    def overflow(self, width: int) -> list[str]:
        """Name what makes the page wider than a screen of this width."""
        self.page.set_viewport_size({"width": width, "height": 900})
        found: list[str] = self.page.evaluate(OVERFLOW)
        return found

    def polls(self) -> int:
        """Count the polls that this profile has sent."""
        return sum(address.endswith(("/status", "/poll")) for address in self.requests)

    def _note(self, problem: str) -> None:
        if not any(pattern.search(problem) for pattern in self._allowed):
            self.problems.append(problem)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._note(f"console: {message.text} ({message.location.get('url', '')})")

    def _error(self, error: WebError) -> None:
        self._note(f"script error: {error.error}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:")):
            self._note(f"request to {request.url}")
        self.requests.append(urlsplit(request.url).path)

    def _dialog(self, dialog: Dialog) -> None:
        self._note(f"dialog: {dialog.message}")
        dialog.dismiss()


class Windows:
    """Opens windows, and says at the end what went wrong in any of them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._opened: list[Window] = []

    def open(self, origin: str, **options: Any) -> Window:
        """Open a fresh profile: `open(place.url, java_script_enabled=False)`."""
        shown: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
        context = self._browser.new_context(base_url=origin, **shown)
        context.set_default_timeout(20_000)
        self._opened.append(Window(context, origin))
        return self._opened[-1]

    def close(self) -> list[str]:
        """Close all, and return what went wrong in them."""
        for window in self._opened:
            window.context.close()
        return [problem for window in self._opened for problem in window.problems]


OpenWindow = Callable[..., Window]
