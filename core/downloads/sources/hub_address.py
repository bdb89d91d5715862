"""How a repository of the Hugging Face Hub is written, and which of its files a pattern means."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import unquote, urlsplit

from core.downloads.sources import site
from core.errors import InvalidInput

_HOME = "https://huggingface.co"
_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co"}
_REPO = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)
_TEXT = re.compile(r"hf:(?://)?(?P<repo>[^@:]+)(@(?P<revision>[^:]+))?(:(?P<pattern>.+))?")
_OTHER_KINDS = {"datasets", "spaces", "collections", "papers", "docs", "blog", "buckets"}
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class HubAddress:
    """A repository, which of its revisions ("" for the newest), and which files (none named: all)."""

    repo: str
    revision: str = ""
    patterns: tuple[str, ...] = ()


def endpoint() -> str:
    """The Hub or the mirror that `HF_ENDPOINT` names, without a slash at its end."""
    return site.endpoint("HF_ENDPOINT", _HOME)


def is_hub_address(text: str) -> bool:
    """Whether `text` is `hf:…` or a page of the Hub or its mirror."""
    parts = urlsplit(text)
    on_hub = parts.hostname in _HOSTS or parts.netloc == urlsplit(endpoint()).netloc
    return text.startswith("hf:") or (parts.scheme in {"http", "https"} and on_hub)


def parse(text: str) -> HubAddress:
    """`hf:org/name[@revision][:pattern]`, or the address of a page or a file.

    Raises:
        InvalidInput: it is neither.
    """
    address = _from_text(text) if text.startswith("hf:") else _from_url(text)
    if not is_repo(address.repo):
        raise InvalidInput({"source": f"{address.repo[:100]!r} is no name of a repository: hf:org/name is meant"})
    return address


def is_repo(name: str) -> bool:
    """Whether a repository can have this name."""
    return _REPO.fullmatch(name) is not None and not {".", ".."} & set(name.split("/"))


def _from_text(text: str) -> HubAddress:
    found = _TEXT.fullmatch(text)
    if found is None:
        raise InvalidInput({"source": "hf:org/name[@revision][:pattern] is meant"})
    patterns = (found["pattern"],) if found["pattern"] else ()
    return HubAddress(repo=found["repo"].strip("/"), revision=found["revision"] or "", patterns=patterns)


def _from_url(text: str) -> HubAddress:
    parts = urlsplit(text)
    if parts.username or parts.password:
        raise InvalidInput({"source": "an address must not hold a password: give a token instead"})
    words = [unquote(word) for word in parts.path.removeprefix(urlsplit(endpoint()).path).split("/") if word]
    if not words or words[0] in _OTHER_KINDS:
        raise InvalidInput({"source": "this page is not a model's"})
    at = next((index for index in (1, 2) if words[index : index + 1] in (["tree"], ["blob"], ["resolve"], ["raw"])), 0)
    if not at:
        return HubAddress(repo="/".join(words[:2]))
    revision, rest = _revision(words[at + 1 :])
    path = glob.escape("/".join(rest)) + ("/*" if words[at] == "tree" else "")
    return HubAddress(repo="/".join(words[:at]), revision=revision, patterns=(path,) if rest else ())


def _revision(words: list[str]) -> tuple[str, list[str]]:
    """The revision at the beginning; those of proposals hold slashes: refs/pr/1."""
    if words[:1] == ["refs"]:
        return "/".join(words[:3]), words[3:]
    return "".join(words[:1]), words[1:]


def chosen(paths: Sequence[str], patterns: Sequence[str]) -> set[str]:
    """The paths that any of the patterns means; all without one.

    Raises:
        InvalidInput: a pattern means none.
    """
    found: set[str] = set() if patterns else set(paths)
    for pattern in patterns:
        matched = _matched(paths, pattern)
        if not matched:
            some = ", ".join(sorted(paths)[:_SHOWN])
            raise InvalidInput({"include": f"{pattern!r} means none of the {len(paths)} files: {some} …"})
        found.update(matched)
    return found


def _matched(paths: Sequence[str], pattern: str) -> list[str]:
    """By wildcards or folder; a plain word such as Q4_K_M stands for the files that have it in their names."""
    shape = f"{pattern}*" if pattern.endswith("/") else pattern
    matched = [path for path in paths if fnmatchcase(path, shape) or path.startswith(f"{pattern}/")]
    if matched or any(sign in pattern for sign in "*?["):
        return matched
    word = re.compile(rf"(^|[-._/]){re.escape(pattern)}([-._/]|$)", re.IGNORECASE)
    return [path for path in paths if word.search(path)]
