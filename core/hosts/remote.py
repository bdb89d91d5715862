"""Questions about files on a host as small POSIX shell scripts, and the reading of their answers.

Names travel as arguments and come back NUL-separated, so newlines, escapes and leading dashes survive.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence

from core.errors import CommandFailed, NotFound
from core.hosts.connection import DiskUsage, FileStat
from core.hosts.process import Output
from core.text import clean_line

MISSING = 44
DENIED = 45
NO_FILE = 46

# "$1" is the path. Tells a missing path from one behind a folder that may not be entered.
_PRESENT = f"""
export LC_ALL=C
absent() {{
  if ls -d -- "$1" 2>&1 >/dev/null | grep -q 'Permission denied'; then exit {DENIED}; fi
  exit {MISSING}
}}
"""

_READ = f"""{_PRESENT}
[ -e "$1" ] || absent "$1"
[ -d "$1" ] && exit {NO_FILE}
[ -r "$1" ] || exit {DENIED}
tail -c "+$2" -- "$1" | head -c "$3"
"""

_STAT = f"""{_PRESENT}
[ -e "$1" ] || absent "$1"
d=0; r=0
[ -d "$1" ] && d=1
[ -r "$1" ] && r=1
set -- "$(stat -L -c '%s %Y' -- "$1" 2>/dev/null || stat -L -f '%z %m' -- "$1")" && echo "$d $r $1"
"""

# Per entry: type, readable, size, seconds, name. The second half is for a find without -printf.
_LIST = f"""{_PRESENT}
[ -d "$1" ] || absent "$1"
[ -r "$1" ] && [ -x "$1" ] || exit {DENIED}
if find "$1" -maxdepth 0 -printf '' 2>/dev/null; then
  find -L "$1" -mindepth 1 -maxdepth 1 \\( -readable -printf r -o -printf - \\) -printf '\\t%y\\t%s\\t%T@\\t%f\\0'
  exit 0
fi
for f in "$1"/* "$1"/.[!.]* "$1"/..?*; do
  [ -e "$f" ] || [ -L "$f" ] || continue
  y=f; r=-
  [ -d "$f" ] && y=d
  [ -r "$f" ] && r=r
  s=$(stat -L -c '%s	%Y' -- "$f" 2>/dev/null || stat -c '%s	%Y' -- "$f")
  printf '%s\\t%s\\t%s\\t%s\\0' "$r" "$y" "$s" "${{f##*/}}"
done
"""

_DISK = """
export LC_ALL=C
for p; do
  [ -e "$p" ] || continue
  stat -f -c '%S %b %a' -- "$p" 2>/dev/null && exit 0
  df -P -k -- "$p" | awk 'END { n = NF; while ($n !~ /%$/ && n > 4) n--; print 1024, $(n-3), $(n-1) }'
  exit
done
"""


def script(text: str, *arguments: str) -> list[str]:
    """The argv of a shell script with its arguments."""
    return ["sh", "-c", text, "sh", *arguments]


def safe(path: str) -> str:
    """A path that no program takes for an option."""
    return path if path.startswith("/") else f"./{path}"


def read_argv(path: str, offset: int, length: int) -> list[str]:
    """Bytes [offset, offset + length) of a file."""
    return script(_READ, safe(path), str(offset + 1), str(length))


def stat_argv(path: str) -> list[str]:
    """Type, access, size and time of a path."""
    return script(_STAT, safe(path))


def list_argv(path: str) -> list[str]:
    """The entries of a folder."""
    return script(_LIST, safe(path))


def disk_argv(path: str) -> list[str]:
    """Space on the file system of the nearest existing parent."""
    return script(_DISK, *ancestors(path))


def ancestors(path: str) -> list[str]:
    """The path and all folders above it, nearest first."""
    found = [safe(posixpath.normpath(path))]
    while (parent := posixpath.dirname(found[-1])) not in {found[-1], ""}:
        found.append(parent)
    return found


def check(output: Output, *, host: str, path: str, doing: str) -> None:
    """Raise what the exit code of one of the scripts means."""
    shown = clean_line(path)
    if output.code == MISSING:
        raise not_found(host, path)
    if output.code == DENIED:
        raise denied(host, path, doing)
    if output.code == NO_FILE:
        raise CommandFailed(f"{host}: {shown} is a folder, not a file.", remedy="Name a file in it.")
    if output.code != 0:
        raise CommandFailed(f"{host}: can't {doing} {shown}.", cause=clean_line(output.errors.strip()))


def not_found(host: str, path: str) -> NotFound:
    """No such path."""
    return NotFound(f"{host}: there is no {clean_line(path)}.", remedy="Check the spelling and the host.")


def denied(host: str, path: str, doing: str) -> CommandFailed:
    """No rights for it."""
    shown = clean_line(path)
    return CommandFailed(
        f"{host}: can't {doing} {shown}.",
        cause="Permission denied",
        remedy=f"Give your user there the right to: ls -ld {shown}",
    )


def parse_stat(path: str, output: Output) -> FileStat:
    """The answer of `stat_argv`."""
    folder, readable, size, seconds = output.stdout.split()
    return FileStat(path=path, size=int(size), is_dir=folder == b"1", mtime=float(seconds), readable=readable == b"1")


def parse_list(path: str, stdout: bytes) -> list[FileStat]:
    """The answer of `list_argv`, sorted by name; entries that vanished meanwhile are left out."""
    found = [entry for part in stdout.split(b"\0") if (entry := _entry(path, part))]
    return sorted(found, key=lambda entry: entry.path)


def _entry(folder: str, part: bytes) -> FileStat | None:
    fields = part.split(b"\t", 4)
    if len(fields) < 5 or not fields[2]:
        return None
    readable, kind, size, seconds, name = fields
    return FileStat(
        path=posixpath.join(folder, os.fsdecode(name)),
        size=int(size),
        is_dir=kind == b"d",
        mtime=float(seconds),
        readable=readable == b"r",
    )


def parse_disk(path: str, stdout: bytes) -> DiskUsage:
    """The answer of `disk_argv`.

    Raises:
        CommandFailed: the host gave no numbers.
    """
    try:
        block, total, free = (int(word) for word in stdout.split())
    except ValueError as error:
        raise CommandFailed(f"The disk of {clean_line(path)} can't be measured.") from error
    return DiskUsage(path=path, total=block * total, free=block * free)


def shown_command(argv: Sequence[str]) -> str:
    """A command as an error names it: scripts of ours only by what they are."""
    words = ["(script)" if "\n" in word else word for word in argv]
    text = clean_line(" ".join(words))
    return text if len(text) <= 120 else text[:119] + "…"


def failed(host: str, argv: Sequence[str], output: Output, *, cause: str) -> CommandFailed:
    """A command that ended badly."""
    remedy = f"Install it there: {argv[0]}" if output.code == 127 and argv[0] != "sh" else ""
    return CommandFailed(f"{host}: {shown_command(argv)} ended with {output.code}.", cause=cause, remedy=remedy)
