"""What answers say to browsers and caches, and whom we take requests for."""

import gzip

import pytest

from tests.web import Visitor, page_of, value_of

pytestmark = pytest.mark.databases("sqlite")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)
SECURE = {"BASE_URL": "https://sms.example"}


def caching(visitor, address):
    """Return what a file says about caches."""
    with visitor.get(address) as answer:
        assert answer.status_code == 200
        return answer.headers["Cache-Control"]


def test_policy_is_strict_on_pages_and_error_pages(visitor):
    for address in ("/login", "/nothing", "/healthz", "/credits"):
        headers = visitor.get(address).headers
        assert headers["Content-Security-Policy"] == POLICY, address
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


def test_cookies_are_hidden_from_scripts_and_other_sites(visitor):
    cookie = visitor.get("/login").headers["Set-Cookie"]
    assert cookie.startswith("smsqueue=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_https_makes_cookies_secure_and_asks_browsers_to_stay_with_it(make_app):
    visitor = Visitor(make_app(**SECURE).test_client())
    headers = visitor.get("/login", base_url="https://sms.example").headers
    assert headers["Set-Cookie"].startswith("__Host-smsqueue=")
    assert "Secure" in headers["Set-Cookie"]
    assert "max-age=31" in headers["Strict-Transport-Security"]


def test_plain_http_promises_no_https(visitor):
    assert "Strict-Transport-Security" not in visitor.get("/login").headers


def test_only_trusted_hosts_are_answered(make_app):
    client = make_app(TRUSTED_HOSTS="sms.example,127.0.0.1").test_client()
    assert client.get("/login", base_url="http://sms.example").status_code == 200
    assert client.get("/login", base_url="http://evil.example").status_code == 400


def test_forwarded_headers_count_only_behind_a_declared_proxy(make_app):
    forged = {"X-Forwarded-Host": "evil.example"}
    trusting = {"TRUSTED_HOSTS": "sms.example"}
    plain = make_app(**trusting).test_client()
    assert plain.get("/login", base_url="http://sms.example", headers=forged).status_code == 200
    behind = make_app(**trusting, SMS_PROXY_HOPS="1").test_client()
    assert behind.get("/login", base_url="http://sms.example", headers=forged).status_code == 400


def test_static_files_carry_their_hash_and_stay_in_caches(visitor):
    page = page_of(visitor.get("/login"))
    addresses = [str(each.get("href") or each.get("src")) for each in page.select("head link, script")]
    assert len(addresses) >= 5
    for address in addresses:
        assert address.startswith("/static/")
        assert caching(visitor, address) == "public, max-age=31536000, immutable"


def test_static_file_with_another_hash_is_asked_for_again(visitor):
    assert caching(visitor, "/static/app.css?h=000000000000") == "no-cache"
    assert caching(visitor, "/static/app.css") == "no-cache"


def test_page_has_one_heading_and_a_way_to_skip_to_it(visitor):
    answer = visitor.get("/login")
    assert len(page_of(answer).select("h1")) == 1
    assert value_of(answer, "body > a", "href") == "#main"


def test_first_page_is_light(visitor):
    page = visitor.get("/login")
    sent = page.get_data()
    for part in page_of(page).select("head link[rel=stylesheet], script"):
        with visitor.get(str(part.get("href") or part.get("src"))) as answer:
            sent += answer.get_data()
    assert len(gzip.compress(sent)) < 120 * 1024
