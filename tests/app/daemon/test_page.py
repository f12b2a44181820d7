"""The page at `/`: for browsers only, alone sufficient, and held by a strict policy."""

import re

import pytest

from app.daemon.page_routes import PAGE_FILE, read_page

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.compat("GET /", "a page for browsers, `Ollama is running` for others")
def test_only_browsers_get_the_page(shared_daemon) -> None:
    for headers in ({}, {"accept": "*/*"}, {"accept": "application/json"}):
        reply = shared_daemon.call("GET", "/", headers=headers)
        assert (reply.status, reply.body) == (200, b"Ollama is running")
    page = shared_daemon.call("GET", "/", headers=BROWSER)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.body.decode() == PAGE_FILE.read_text()
    assert page.headers["vary"] == "accept"
    assert shared_daemon.call("HEAD", "/", headers=BROWSER).status == 200


def test_the_policy_allows_the_pages_own_script_and_nothing_else(shared_daemon) -> None:
    policy = shared_daemon.call("GET", "/", headers=BROWSER).headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    for name in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", rules[name])


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html, _ = read_page()
    assert not re.search(r"https?://", html)
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"(?!data:)", html)
    assert not re.search(r"\son\w+=|\sstyle=", html), "the policy forbids these"


def test_the_page_never_makes_html_of_text() -> None:
    html, _ = read_page()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", html)


def test_what_the_page_calls_exists(shared_daemon) -> None:
    html, _ = read_page()
    paths = set(re.findall(r'call\("(/[a-z/]+)"', html))
    assert paths == {"/api/chat", "/api/tags", "/api/top"}
    schema = shared_daemon.get("/openapi.json").json
    assert paths <= set(schema["paths"])


def test_a_pages_chat_passes_the_gate(shared_daemon) -> None:
    origin = f"http://127.0.0.1:{shared_daemon.port}"
    body = {"model": "pocket", "messages": [{"role": "user", "content": "say 2"}]}
    reply = shared_daemon.call("POST", "/api/chat", body, {"origin": origin})
    assert (reply.status, reply.lines[-1]["done"]) == (200, True)
