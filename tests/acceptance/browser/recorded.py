"""The pages, which write down what they are made of, for gunicorn: `tests.acceptance.browser.recorded:app`."""

import os
from collections.abc import Callable
from pathlib import Path

from jinja2 import BaseLoader, Environment

from wsgi import app


class Recorder(BaseLoader):
    """Writes the name of each template in a line when it is needed for the first time."""

    def __init__(self, loader: BaseLoader, path: Path) -> None:
        self._loader, self._path = loader, path

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        """Find a template, and write down that somebody looked."""
        found = self._loader.get_source(environment, template)
        with self._path.open("a", encoding="utf-8") as names:
            names.write(f"{template}\n")
        return found


if app.jinja_env.loader:
    app.jinja_env.loader = Recorder(app.jinja_env.loader, Path(os.environ["RECORDED_TEMPLATES"]))
