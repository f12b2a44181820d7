"""`/`: a page for browsers, and for all others the line that Ollama's clients wait for."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

router = APIRouter()

PAGE_FILE = Path(__file__).with_name("page.html")


@router.head("/", include_in_schema=False)
@router.get("/")
async def root(request: Request) -> Response:
    """Whether anybody is there; for who accepts HTML, a page with a chat and what happens now."""
    headers = {"vary": "accept", "x-content-type-options": "nosniff"}
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse("Ollama is running", headers=headers)
    html, policy = read_page()
    headers |= {
        "cache-control": "no-cache",
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
    }
    return HTMLResponse(html, headers=headers)


@cache
def read_page() -> tuple[str, str]:
    """The page, and the policy that lets it run its own script and call this daemon, no more."""
    html = PAGE_FILE.read_text(encoding="utf-8")
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        f"script-src {_hashes(html, 'script')}; style-src {_hashes(html, 'style')}"
    )
    return html, policy


def _hashes(html: str, tag: str) -> str:
    """CSP's names for what stands inside of `tag`."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    digests = [hashlib.sha256(text.encode()).digest() for text in found]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
