"""CSRF protection, and forms that come back filled.

Every unsafe request is checked before its view runs. When its token is missing, old or foreign, the view runs all
the same, so that it can show its form again with what was typed, but it cannot do anything:

* every `FlaskForm` of that request fails to validate (so `if not form.validate_on_submit(): return page, 422` shows
  it again; the macro `forms.error_summary` words the reason),
* `extensions.write` raises OpenTooLong, which becomes the plain 400 page,
* the answer is never better than 400, and the views in `STRICT`, which do something without writing, never run.

So a POST view needs nothing but the usual first lines:

    form = TextForm()
    if not form.validate_on_submit():
        return render_template("compose/single.html", form=form), 422

In the template: `<form method="post" novalidate>{{ form.hidden_tag() }}`, `{{ forms.error_summary(form) }}`, then
`{{ forms.field(form.name) }}` and so on, `{{ forms.submit("Review") }}`. A form of one button has
`{{ forms.token() }}` or `{{ forms.button_form(...) }}`, and its view needs no form class.
"""

from flask import Flask, g, request
from flask.wrappers import Response
from flask_wtf.csrf import CSRFError, CSRFProtect

STRICT = {"security.logout", "theme.choose"}
OPEN_TOO_LONG = "This page was open for too long. Nothing was lost: look it over and press the button again."


class Csrf(CSRFProtect):  # type: ignore[misc]  # the library has no types
    """Flask-WTF's check, plus one for where the request comes from; see above for what a failure does."""

    def protect(self, apply_exemptions: bool = False) -> None:
        """Check the request; note a failure instead of ending the request, except for `STRICT` views."""
        try:
            super().protect(apply_exemptions=apply_exemptions)
            _refuse_foreign_pages()
        except CSRFError:
            g.csrf_valid, g.csrf_failed = False, True
            if request.endpoint in STRICT:
                raise


def _refuse_foreign_pages() -> None:
    unsafe = request.method not in ("GET", "HEAD", "OPTIONS", "TRACE")
    if unsafe and request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise CSRFError("The request comes from another site.")


def _no_success(response: Response) -> Response:
    if g.get("csrf_failed", False) and (response.status_code < 400 or response.status_code == 422):
        response.status_code = 400
        response.headers.pop("Location", None)
    return response


def install(app: Flask) -> None:
    """Protect all of the app's routes."""
    Csrf(app)
    app.after_request(_no_success)
    app.jinja_env.globals["OPEN_TOO_LONG"] = OPEN_TOO_LONG
