"""Which hosts and web pages may talk to the daemon (DNS rebinding, cross-origin requests). Pure."""

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

LOCAL_ORIGINS = (
    *(f"{scheme}://{host}" for scheme in ("http", "https") for host in ("localhost", "127.0.0.1")),
    *(f"{scheme}://0.0.0.0" for scheme in ("http", "https")),
    *(f"{scheme}://[::1]" for scheme in ("http", "https")),
)
APP_SCHEMES = frozenset(
    {
        "app",
        "file",
        "tauri",
        "vscode-webview",
        "vscode-file",
        "chrome-extension",
        "moz-extension",
        "safari-web-extension",
    }
)
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_allowed_host(header: str, hostname: str) -> bool:
    """Whether a `Host` header means this machine; a name that a stranger's DNS serves does not.

    >>> is_allowed_host("127.0.0.1:11434", "box"), is_allowed_host("evil.example", "box")
    (True, False)
    """
    try:
        host = (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in {"", "localhost", hostname.lower()} or host.endswith(_LOCAL_SUFFIXES)
    return address.is_loopback or address.is_private or address.is_unspecified


def is_allowed_origin(origin: str, host: str, extra: Sequence[str]) -> bool:
    """Whether a page of `origin` may call us: ours, local, an app's, or one of `extra`.

    >>> is_allowed_origin("http://localhost:3000", "127.0.0.1:11434", ())
    True
    >>> is_allowed_origin("https://evil.example", "127.0.0.1:11434", ("https://*.mine.example",))
    False
    """
    origin = origin.lower()
    scheme, _, authority = origin.partition("://")
    if scheme in APP_SCHEMES or authority == host.lower():
        return True
    if origin in LOCAL_ORIGINS or origin.rpartition(":")[0] in LOCAL_ORIGINS:
        return True
    return any(fnmatchcase(origin, pattern.lower()) for pattern in extra)
