"""What may stand in a field, whatever record it belongs to: text, addresses, names of keys, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, NoReturn
from urllib.parse import SplitResult, parse_qsl, urlsplit

from core.text import clean_line

TEXT_LIMIT = 1024
OBJECT_LIMIT = 65536  # characters of JSON
_KEY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,63}")
_KEY_ITSELF = re.compile(
    r"(sk|pk|rk|hf|gsk|xai|nvapi|r8|glpat|ghp|pplx|tgp)[-_][A-Za-z0-9_-]{16,}|AIza[\w-]{30,}|eyJ[\w-]{20,}\."
)
_NOT_IN_URL = re.compile(r"[\s<>\"'\\`]")
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SECRET = re.compile(
    r"(^|[-_.])(pass(word|wd|phrase)|secret|(api|access|auth|bearer|hf|private|secret)[-_]?(key|token))$|^token$"
)
_TELLS = {"Expecting value": "A value is expected here", "Extra data": "There is more text after the end"}


class JsonFault(ValueError):
    """Text that is no JSON object; `line` and `column` count from 1 and are 0 where no place can be told."""

    def __init__(self, reason: str, *, line: int = 0, column: int = 0) -> None:
        self.reason, self.line, self.column = reason, line, column
        super().__init__(f"Line {line}, column {column}: {reason}." if line else f"{reason}.")


def check_text(value: object) -> str:
    """Text that can be kept exactly as it is."""
    if not isinstance(value, str):
        return "Must be text."
    if len(value) > TEXT_LIMIT:
        return f"Must be at most {TEXT_LIMIT} characters."
    if "\x00" in value:
        return "Must not contain a NUL character."
    return "Must be valid Unicode." if any("\ud800" <= char <= "\udfff" for char in value) else ""


def check_url(value: object) -> str:
    """An http or https address without a secret in it."""
    if problem := check_text(value):
        return problem
    text = str(value)
    if clean_line(text) != text or _NOT_IN_URL.search(text):
        return "Must not contain spaces, quotes or control characters."
    try:
        parts = urlsplit(text)
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole, parts = False, None
    if not text.startswith(("http://", "https://")):
        return "Must begin with http:// or https:// and name a host."
    if parts is None or not whole:
        return "Its host or port is not valid: https://host:port/path."
    return _secret_in(parts)


def is_this_machine(url: object) -> bool:
    """Whether the address is a loopback one, without asking anyone for a name."""
    try:
        host = urlsplit(str(url)).hostname or ""
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


def _secret_in(parts: SplitResult) -> str:
    if parts.username is not None or parts.password is not None:
        return "Must not hold a user or password: store the key and name it."
    names = (name for name, _ in parse_qsl(parts.query))
    secret = next((name for name in names if _SECRET.search(name.lower()) or name == "key"), "")
    return f"Must not hold a secret ({secret}): store the key and name it." if secret else ""


def check_key_name(value: object) -> str:
    """The name of a stored key, and surely not a key itself (P8)."""
    if problem := check_text(value):
        return problem
    if looks_secret(str(value)):
        return "This looks like the key itself: store it with modelyard keys set NAME, and give the name."
    fine = _KEY_NAME.fullmatch(str(value))
    return "" if fine else "A name of up to 64 letters and digits, with _ . @ : - between."


def looks_secret(text: str) -> bool:
    """Whether somewhere in the text there is what looks like a key of one of the well-known services."""
    return _KEY_ITSELF.search(text) is not None


def check_region(value: object) -> str:
    """A region's code, such as `de` or `us-east-1`."""
    if problem := check_text(value):
        return problem
    fine = len(str(value)) <= 32 and _REGION.fullmatch(str(value))
    return "" if fine else "Up to 32 lower-case letters and digits, with dashes between: us-east-1."


def check_words(value: object) -> str:
    """A list of words, none of them empty."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        return "Must be a list of words."
    if any(not item.strip() for item in value):
        return "Must not hold an empty word."
    return next((problem for item in value if (problem := check_text(item))), "")


def check_object(value: object) -> str:
    """A mapping that JSON can hold, without members that are secrets by their names."""
    if value is None:
        return ""
    if not isinstance(value, Mapping):
        return "Must be a JSON object: {…}."
    try:
        size = len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return "Must hold only what JSON knows: text, numbers, true, false, null, lists, objects."
    if size > OBJECT_LIMIT:
        return f"Must be at most {OBJECT_LIMIT:,} characters of JSON."
    if name := next(_secrets(value), ""):
        return f"{clean_line(name)} looks like a secret: store it with modelyard keys set, and name it as the API key."
    return ""


def _secrets(value: object) -> Iterator[str]:
    """The names of members that hold a secret's text."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(inner, str) and inner and (_SECRET.search(str(name).lower()) or looks_secret(inner)):
                yield str(name)
            yield from _secrets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner)


def read_object(text: str) -> dict[str, Any]:
    """The JSON object that the text is; nothing at all is an empty one.

    Raises:
        JsonFault: it is none, with the place of the fault where there is one.
    """
    if not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_twice)
    except json.JSONDecodeError as error:
        reason = _TELLS.get(error.msg, error.msg)
        raise JsonFault(reason, line=error.lineno, column=error.colno) from error
    except RecursionError as error:
        raise JsonFault("It is nested too deeply") from error
    if not isinstance(value, dict):
        raise JsonFault("It must be an object: {…}", line=1, column=1 + len(text) - len(text.lstrip()))
    return value


def _no_constant(name: str) -> NoReturn:
    raise JsonFault(f"JSON knows no {name}")


def _no_twice(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise JsonFault(f"{json.dumps(name)} is there twice")
        made[name] = value
    return made


def json_text(value: Mapping[str, Any], *, indent: int | None = 2) -> str:
    """The object as text to be read and edited: what could steer a terminal is written as `\\uXXXX`; "" when empty."""
    if not value:
        return ""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    return "".join(char if char == "\n" or clean_line(char) == char else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1]
