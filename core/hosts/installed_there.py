"""`installed-models.json` in the models folder of a host: read, and changed in one piece, by one program at a time."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from core.errors import CommandFailed, FileProblem
from core.files import installed
from core.files.installed import InstalledModel
from core.files.service import find, found
from core.hosts import remote
from core.text import clean_line

if TYPE_CHECKING:
    from core.hosts.connection import Connection

_TRIES = 20
_CHANGED = 47
_WAIT_S = 60.0

# $1 the folder, $2 the file's name: its checksum and size, "-" without one, then the file.
_READ = """
export LC_ALL=C
cd -- "$1" 2>/dev/null || { echo -; exit 0; }
[ -e "$2" ] || { echo -; exit 0; }
cat -- "$2" | cksum && cat -- "$2"
"""

# $1 the folder, $2 the file's name, $3 what `_READ` told of it: another one there now is not written over.
_WRITE = f"""
export LC_ALL=C
umask 022
mkdir -p -- "$1" && cd -- "$1" || exit 1
exec 9>>".$2.lock" || exit 1
if command -v flock >/dev/null; then flock -w 20 9 || exit {_CHANGED}; fi
new=".$2.$$.new"
trap 'rm -f -- "$new"' EXIT
cat >"$new" || exit 1
if [ -e "$2" ]; then is=$(cat -- "$2" | cksum); else is=-; fi
[ "$is" = "$3" ] || exit {_CHANGED}
sync -- "$new" 2>/dev/null
mv -f -- "$new" "$2"
"""


async def read(connection: Connection, folder: str) -> list[InstalledModel]:
    """What the file of a host's models folder tells; nothing where there is none.

    Raises:
        FileProblem: it is damaged.
    """
    return (await _read(connection, folder))[1]


async def get(connection: Connection, folder: str, ref: str) -> InstalledModel:
    """By path, title or source, where only one has it.

    Raises:
        NotFound: none, or several.
    """
    known = find(await read(connection, folder), ref, PurePosixPath(folder))
    return found(known, ref, host=connection.name)


async def note(connection: Connection, folder: str, models: Iterable[InstalledModel]) -> None:
    """Add or replace entries; all others stay, and so does everything that lies there.

    Raises:
        FileProblem: the file there is damaged, and left as it is. CommandFailed: it can't be written.
    """
    fresh = list(models)

    def add(known: dict[str, InstalledModel]) -> None:
        known |= {model.path: installed.merged(known.get(model.path), model) for model in fresh}

    await _change(connection, folder, add)


async def forget(connection: Connection, folder: str, path: str) -> None:
    """Leave an entry out; files are not looked at.

    Raises:
        FileProblem, CommandFailed: as `note`.
    """

    def leave_out(known: dict[str, InstalledModel]) -> None:
        known.pop(path, None)

    await _change(connection, folder, leave_out)


async def _change(connection: Connection, folder: str, change: Callable[[dict[str, InstalledModel]], None]) -> None:
    """Read, change and write, again from the beginning when another program wrote meanwhile."""
    for _ in range(_TRIES):
        sum_before, before = await _read(connection, folder)
        known = {one.path: one for one in before}
        change(known)
        if list(known.values()) == before:
            return
        text = installed.text_of(known.values()).encode("utf-8", "replace")
        argv = remote.script(_WRITE, folder, installed.NAME, sum_before)
        done = await connection.run(argv, stdin=text, timeout_s=_WAIT_S, check=False)
        if done.code == 0:
            return
        if done.code != _CHANGED:
            raise CommandFailed(
                f"{connection.name}: {clean_line(posixpath.join(folder, installed.NAME))} can't be written.",
                cause=clean_line(done.stderr)[:300],
                remedy=f"See who may write there: ls -ld {clean_line(folder)}",
            )
    raise CommandFailed(
        f"{connection.name}: others change {installed.NAME} all the time.", remedy="Try again when they are done."
    )


async def _read(connection: Connection, folder: str) -> tuple[str, list[InstalledModel]]:
    done = await connection.run(remote.script(_READ, folder, installed.NAME), timeout_s=_WAIT_S)
    told, _, text = done.stdout.partition("\n")
    if told == "-":
        return told, []
    path = f"{connection.name}:{posixpath.join(folder, installed.NAME)}"
    if len(text) > installed.LIMIT:
        raise FileProblem(f"{path} is larger than any such file.", remedy="Look at it, and move it away.")
    return told, installed.parse(text, path)
