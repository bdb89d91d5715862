"""Names of files that come from elsewhere (a repository, an archive, a manifest): none leads out of its folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from core.errors import InvalidInput

_WINDOWS = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[\s.]*(\..*)?")
_PATH_LIMIT, _NAME_LIMIT = 1024, 240  # bytes; a part's hidden name is a little longer than the file's
_MISLEADING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # categories of characters that can't be seen
# of / \ and :, where Unicode itself does not take them for the same
_LOOKALIKES = frozenset("\u2215\u2044\u29f8\u2571\u2216\u29f5\u2572\ufe68\u2236\ua789\u02d0")
_MOST_FILES = 100_000
_SHOWN = 200


def stays_inside(path: str) -> bool:
    """Whether a relative path names something below its folder, whatever the file system allows in names."""
    return not _leads_out(path) and path.isprintable() and "\\" not in path


def safe_path(path: str) -> str:
    """The path, if it is relative, plain and stays where it is put on every file system.

    Raises:
        InvalidInput: absolute, `..`, backslashes, control characters, Windows' devices and streams, characters that
        become or look like separators, too long.
    """
    if problem := problem_of(path):
        raise InvalidInput({"path": f"{path[:_SHOWN]!r} is refused: {problem}"})
    return path


def problem_of(path: str) -> str:
    """Why `safe_path` refuses a path; "" when it does not."""
    folded = unicodedata.normalize("NFKC", path)
    parts = (*path.split("/"), *folded.split("/"))
    reasons = {
        "it is empty, absolute or leads out of the folder": _leads_out(path),
        "it has characters that some systems take for something else": _is_misleading(path),
        "it has characters that some systems turn into separators": _turns(path, folded),
        "a part of it is no file name on some systems": any(_is_no_name(part) for part in parts),
        "it is too long": _is_long(path),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def refuse_clashes(paths: Iterable[str]) -> None:
    """Names that are one on some systems (case, composed and decomposed letters), and files in place of folders.

    Raises:
        InvalidInput: with the two names.
    """
    seen: dict[str, str] = {}
    for path in paths:
        if len(seen) >= _MOST_FILES:
            raise InvalidInput({"files": f"more than {_MOST_FILES:,} files are refused"})
        if (before := seen.get(key := key_of(path))) is not None:
            raise InvalidInput({"files": f"{before!r} and {path!r} are one name on some systems"})
        seen[key] = path
    for key, path in seen.items():
        if any(str(parent) in seen for parent in PurePosixPath(key).parents):
            raise InvalidInput({"files": f"{path!r} lies in a file of the same listing"})


def key_of(path: str) -> str:
    """The same for all paths that are one on a file system without case, or that composes letters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _leads_out(path: str) -> bool:
    parts = path.split("/")
    return not path or path.startswith("/") or bool({"", ".", ".."} & set(parts)) or "\0" in path


def _is_no_name(part: str) -> bool:
    return _WINDOWS.fullmatch(part) is not None or part != part.strip() or part.endswith(".")


def _is_misleading(path: str) -> bool:
    return bool({"\\", ":"} & set(path)) or any(unicodedata.category(char) in _MISLEADING for char in path)


def _turns(path: str, folded: str) -> bool:
    is_other = folded.count("/") != path.count("/") or _leads_out(folded) or bool({"\\", ":"} & set(folded))
    return is_other or bool(_LOOKALIKES & set(path))


def _is_long(path: str) -> bool:
    size = len(path.encode("utf-8", "replace"))
    return size > _PATH_LIMIT or any(len(part.encode("utf-8", "replace")) > _NAME_LIMIT for part in path.split("/"))
