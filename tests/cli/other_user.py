"""Runs programs as another user id, also where this Python lies in a home that only root can enter."""

from __future__ import annotations

import shlex
import stat
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def as_user(uid: int, scratch: Path, *, group: int | None = None) -> list[str]:
    """What stands before a command, so that root runs it as `uid`, a member of `group` beside a group of its own.

    Folders on the way to Python and this checkout that others can't enter are replaced, for that command alone (a
    mount namespace), by ones that hold nothing but what is needed.
    """
    lines = ["set -e"]
    for closed, needed in _closed().items():
        stashed = [(path, scratch / f"stash{number}") for number, path in enumerate(needed)]
        for path, stash in stashed:
            lines += [f"mkdir -p {_q(stash)}", f"mount --bind {_q(path)} {_q(stash)}"]
        lines.append(f"mount -t tmpfs -o mode=755 none {_q(closed)}")
        for path, stash in stashed:
            lines += [f"mkdir -p {_q(path)}", f"mount --bind {_q(stash)} {_q(path)}"]
    groups = "--clear-groups" if group is None else f"--groups {group}"
    lines.append(f'cd "$HOME"; exec setpriv --reuid {uid} --regid {uid} {groups} -- "$@"')
    return ["unshare", "--mount", "sh", "-c", "\n".join(lines), "sh"]


def _closed() -> dict[Path, list[Path]]:
    """By the topmost folder that others can't enter: what is needed below it."""
    found: dict[Path, list[Path]] = {}
    for needed in dict.fromkeys((Path(sys.base_prefix), Path(sys.prefix), _ROOT)):
        above = [path for path in reversed(needed.parents) if not path.stat().st_mode & stat.S_IXOTH]
        if above:
            found.setdefault(above[0], []).append(needed)
    return found


def _q(path: Path) -> str:
    return shlex.quote(str(path))
