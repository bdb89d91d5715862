"""Secrets that stand in an address itself, such as `?token=…` or a signature: never kept, so they travel as a token."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from core.registry.checks import looks_secret

_NAME = re.compile(
    r"(^|[-_.])(sig|signature|\w*token|\w*key|\w*secret|pass|passw(or)?d|passphrase|auth\w*|credentials?|policy|jwt|sid)$",
    re.IGNORECASE,
)


def split_secret(address: str) -> tuple[str, str]:
    """The address without its query, and the query with its `?`, where a secret is in it; else all of it, and ""."""
    parts = urlsplit(address)
    if not secrets_in(f"?{parts.query}"):
        return address, ""
    return urlunsplit((*parts[:3], "", "")), f"?{parts.query}"


def secrets_in(query: str) -> list[str]:
    """The values of a query that are likely secrets, as they stand in it and as they mean."""
    if not query.startswith("?"):
        return []
    pairs = (pair.partition("=")[::2] for pair in query[1:].split("&"))
    found = [value for name, value in pairs if value and (_NAME.search(name) or looks_secret(value))]
    meant = [value for name, value in parse_qsl(query[1:]) if _NAME.search(name) or looks_secret(value)]
    return list(dict.fromkeys([*found, *meant]))


def with_secret(address: str, token: str) -> str:
    """The whole address again."""
    return f"{address}{token}" if token.startswith("?") else address
