"""Failures of the Hub and of the way to it: which pass by themselves, and what they mean to a user.

Source for the status codes and headers: huggingface_hub, `hf_raise_for_status`.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from models.errors import AccessDenied, Busy, NotFound, Unreachable, UserError

_RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524})
_KEPT = "What was fetched is kept."


def is_passing(error: Exception) -> bool:
    """The same request may well succeed a little later."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _RETRIED_STATUS
    return isinstance(error, httpx2.TransportError) and not isinstance(
        error, httpx2.UnsupportedProtocol
    )


def retry_after_s(error: Exception) -> float | None:
    """Seconds to wait by the server's word: Retry-After, or the rate limit's reset."""
    if not isinstance(error, HfHubHTTPError):
        return None
    headers = error.response.headers
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    if text:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        return max((at.astimezone(UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    if error.response.status_code != 429:
        return None
    _, found, reset = headers.get("RateLimit", "").rpartition("t=")
    return float(reset) if found and reset.isdigit() else None


def summarize_failure(error: Exception) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, HfHubHTTPError):
        return f"the server answered {error.response.status_code}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def as_user_error(error: Exception, what: str, endpoint: str, *, has_token: bool) -> UserError:
    """What `error`, met when asking `endpoint` for `what`, means to the user."""
    if isinstance(error, HfHubHTTPError):
        return _from_status(error, what, endpoint, has_token)
    if isinstance(error, OfflineModeIsEnabled):
        return Unreachable(f"{what}: HF_HUB_OFFLINE is set", hint="Unset it to pull.")
    return Unreachable(
        f"{what}: no answer from {endpoint}{_way(endpoint)}: {summarize_failure(error)}",
        hint=f"Check the network; HTTPS_PROXY and HF_ENDPOINT are honoured. {_KEPT}",
    )


def _way(endpoint: str) -> str:
    """Which proxy was asked for the way, without the password in it."""
    parts = urlsplit(endpoint)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc):
        return ""
    return f" through the proxy {re.sub(r'^.*(//|@)', '', proxy)}"


def _from_status(error: HfHubHTTPError, what: str, endpoint: str, has_token: bool) -> UserError:
    status, headers = error.response.status_code, error.response.headers
    code = headers.get("X-Error-Code", "")
    if code == "GatedRepo":
        then = "wait for the owner's consent" if has_token else "set HF_TOKEN to your token"
        return AccessDenied(
            f"{what}: gated: its owner asks for consent first",
            hint=f"Accept the terms at {endpoint}/{what}, then {then}.",
        )
    if code in ("RevisionNotFound", "EntryNotFound"):
        return NotFound(f"{what}: no such revision or file in the repository")
    if status == 401 and has_token and code != "RepoNotFound":
        return AccessDenied(
            f"{what}: the token was refused", hint="HF_TOKEN is wrong or has expired."
        )
    if status in (401, 404):
        also = "" if has_token else " If it is private, set HF_TOKEN to a token that may read it."
        return NotFound(
            f"{what}: no such repository at {endpoint}", hint=f"Check the spelling.{also}"
        )
    if status == 403:
        reason = headers.get("X-Error-Message", "forbidden")
        return AccessDenied(f"{what}: {reason}", hint="The token may not read this.")
    if status == 429:
        wait_s = retry_after_s(error)
        when = f" Try again in {wait_s:.0f} s." if wait_s else ""
        return Busy(
            f"{what}: the server limits requests (429)",
            hint=f"A token (HF_TOKEN) raises the limit.{when} {_KEPT}",
        )
    return Unreachable(f"{what}: {endpoint} answers {status}", hint=f"Try again later. {_KEPT}")
