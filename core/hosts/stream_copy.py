"""A file written to a host in one stream: resumed, hashed there, and given its name only when it is right.

Until then it lies beside its place under a hidden name that tells its version, so that two versions never mix, and
a late writer of a broken line only writes what is there anyway. All that a host needs are a POSIX shell and `dd`.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from core.errors import CommandFailed, NotAllowed, WrongBytes
from core.hosts import remote
from core.hosts.connection import Connection
from core.text import clean_line

BLOCK = 1 << 20  # bytes; a copy goes on at a multiple of it
_LARGE = 32 << 20  # bytes: starting python there takes as long as reading so much
_LOOK_S, _FEW_S = 120.0, 600.0
_HASH = re.compile(r"\b([0-9a-f]{64})\b")

# Of each path on stdin: f(ile), d(irectory), l(ink to nowhere), o(ther) or - for nothing, and the size of a file.
_LOOK = """
xargs -0 sh -c 'for p; do
  if [ -f "$p" ]; then s=$(stat -L -c %s -- "$p") && echo "f $s" || exit 255
  elif [ -d "$p" ]; then echo "d 0"
  elif [ -e "$p" ]; then echo "o 0"
  elif [ -L "$p" ]; then echo "l 0"
  else echo "- 0"; fi
done' sh
"""

# $1 the hidden name, $2 what hidden names of other versions begin with, $3 the block to go on at, $4 the program below
# for a large file of $5 bytes from its beginning: read again afterwards, it would take half as long again.
_WRITE = f"""
export LC_ALL=C
mkdir -p -- "${{1%/*}}" || exit 1
[ -L "$1" ] && {{ echo "$1 is a link" >&2; exit 1; }}
for old in "$2"*.part; do [ "$old" = "$1" ] || [ ! -f "$old" ] || rm -f -- "$old"; done
rm -f -- "$2"*.part.sum
[ -z "$4" ] || ! command -v python3 >/dev/null || exec python3 -I -c "$4" "$1" "$5"
exec dd of="$1" ibs=65536 obs={BLOCK} seek="$3" conv=notrunc,fsync
"""

# Writes, flushes and hashes standard input side by side; leaves the hash of all of it beside the file. Whole pieces go
# past the page cache where the file system lets them: it costs a third of the time.
_RECEIVE = """
import fcntl, hashlib, mmap, os, queue, sys, threading
digest, free, full, lost = hashlib.sha256(), queue.Queue(), queue.Queue(), []
for _ in range(8):
    free.put(memoryview(mmap.mmap(-1, 1 << 20)))
def hash_all():
    for buffer, count in iter(full.get, None):
        digest.update(buffer[:count])
        free.put(buffer)
out, over = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666), threading.Event()
def flush():
    try:
        while not over.wait(0.5):
            os.fdatasync(out)
    except OSError as error:  # which the kernel tells once
        lost.append(error)
try:
    straight = os.open(sys.argv[1], os.O_WRONLY | os.O_NOFOLLOW | os.O_DIRECT)
except (AttributeError, OSError):
    straight = out
def write(piece, at):
    global straight
    if len(piece) < 1 << 20:
        return os.pwrite(out, piece, at)
    try:
        return os.pwrite(straight, piece, at)
    except OSError:
        if straight == out:
            raise
        straight = out
        return 0
try:
    fcntl.fcntl(0, 1031, 1 << 20)
except OSError:
    pass
hashing = threading.Thread(target=hash_all)
hashing.start()
flushing = threading.Thread(target=flush)
flushing.start()
size, count = 0, 1
try:
    while count:
        buffer, filled = free.get(), 0
        while count and filled < len(buffer):
            count = os.readv(0, [buffer[filled:]])
            filled += count
        done = 0
        while done < filled:
            done += write(buffer[done:filled], size + done)
        size += filled
        full.put((buffer, filled))
    over.set()
    flushing.join()
    os.fsync(out)
finally:
    over.set()
    full.put(None)
hashing.join()
if lost:
    raise lost[0]
if os.fstat(out).st_size == size == int(sys.argv[2]):
    with open(sys.argv[1] + ".sum", "w") as file:
        file.write(digest.hexdigest())
"""

# Tells on descriptor 3 how far it is.
_SUM = """
import hashlib, os, sys, time
digest, buffer, done, told = hashlib.sha256(), memoryview(bytearray(1 << 22)), 0, time.monotonic()
with open(sys.argv[1], "rb", buffering=0) as file:
    while count := file.readinto(buffer):
        digest.update(buffer[:count])
        done += count
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            os.write(3, b"%d\\n" % done)
print(digest.hexdigest())
"""

# $1 the file, $2 the program above; Debian's sha256sum is four times slower than the others, so it is the last.
_SUMS = """
export LC_ALL=C
exec 3>&1
sum() {
  python3 -I -c "$2" "$1" 2>/dev/null || openssl dgst -sha256 <"$1" 2>/dev/null || sha256sum <"$1"
}
"""
_HASH_THERE = f'{_SUMS}sum "$1" "$2"\n'

# Of each path on stdin: a line with its hash, or one without.
_HASH_MANY = """
export LC_ALL=C
xargs -0 sh -c 'for p; do
  openssl dgst -sha256 <"$p" 2>/dev/null || sha256sum <"$p" 2>/dev/null || echo unreadable
done' sh
"""

# $1 the folder; tar on stdin: files by number; then hash and place below the folder of each: n(ot what was sent),
# t(aken) or o(k).
_FEW = """
export LC_ALL=C
mkdir -p -- "$1" && cd -- "$1" || exit 1
shift
few=.modelyard-few-$$
mkdir -m 700 -- "$few" || exit 1
trap 'rm -rf -- "$few"' EXIT
tar -x -m -o -f - -C "$few" || exit 1
sync -- "$few"/* 2>/dev/null
number=0
while [ "$#" -gt 0 ]; do
  got=$(openssl dgst -sha256 <"$few/$number" 2>/dev/null || sha256sum <"$few/$number")
  place=./$2
  case $got in
    *"$1"*)
      mkdir -p -- "${place%/*}" || exit 1
      if [ -e "$place" ] || [ -L "$place" ]; then echo t
      elif ln -T -- "$few/$number" "$place" 2>/dev/null || { mv -n -- "$few/$number" "$place" && [ -e "$place" ]; }
      then echo o
      else exit 1; fi ;;
    *) echo n ;;
  esac
  number=$((number + 1))
  shift 2
done
"""

# $1 the hidden name, $2 the program above, $3 the hash it must have, $4 the final name, $5 "replace" a file of it,
# $6 "hashed" while it came just now, if the host could.
_SEAL = f"""{_SUMS}
got=
[ "$6" != hashed ] || got=$(cat -- "$1.sum" 2>/dev/null)
rm -f -- "$1.sum"
[ -n "$got" ] || got=$(sum "$1" "$2") || exit 1
case $got in *"$3"*) ;; *) rm -f -- "$1"; echo "$got"; exit 0 ;; esac
if [ "$5" = replace ] && [ -f "$4" ] && [ ! -L "$4" ]; then mv -f -- "$1" "$4" || exit 1
elif [ -e "$4" ] || [ -L "$4" ]; then echo there; exit 0
elif ln -T -- "$1" "$4" 2>/dev/null; then rm -f -- "$1"
else mv -n -- "$1" "$4" || exit 1; fi
if [ -e "$1" ]; then echo there; exit 0; fi
sync -- "${{4%/*}}" 2>/dev/null
echo sealed
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a file goes on a host: its name, the hidden one until it is right, and what all its hidden ones share."""

    target: str
    hidden: str
    stem: str

    @classmethod
    def of(cls, target: str, *, size: int, mtime_ns: int) -> Place:
        """The place for this version of a file."""
        folder, name = posixpath.split(target)
        stem = f"{folder}/.modelyard-{_short(name)}-"
        return cls(target=target, hidden=f"{stem}{_short(f'{size} {mtime_ns}')}.part", stem=stem)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is at a path on a host: "f" a file, "d" a folder, "l" a link to nowhere, "o" something else, "-" nothing."""

    kind: str
    size: int  # bytes of a file


async def look(connection: Connection, paths: Sequence[str]) -> list[Seen]:
    """What is at each of these paths now.

    Raises:
        CommandFailed: it can't be told.
    """
    done = await connection.run(remote.script(_LOOK), stdin=_names(paths), timeout_s=_LOOK_S)
    seen = [Seen(kind=kind, size=int(size)) for kind, size in (line.split() for line in done.stdout.splitlines())]
    if len(seen) != len(paths):
        raise CommandFailed(f"{connection.name}: the files there can't be looked at.", cause=clean_line(done.stderr))
    return seen


def write_argv(place: Place, *, offset: int, size: int) -> list[str]:
    """Write the rest of a file of `size` bytes to the hidden one from `offset`, a multiple of `BLOCK`.

    Folders are made. What comes from the beginning is hashed on the way, where that is worth it.
    """
    program = _RECEIVE if offset == 0 and size >= _LARGE else ""
    return remote.script(_WRITE, place.hidden, place.stem, str(offset // BLOCK), program, str(size))


async def hash_there(connection: Connection, path: str) -> AsyncGenerator[int | str, None]:
    """Bytes read so far, where the host tells, then the SHA-256 of a file there."""
    async with aclosing(connection.stream(remote.script(_HASH_THERE, path, _SUM))) as lines:
        async for line in lines:
            if line.isdigit():
                yield int(line)
            elif found := _HASH.search(line):
                yield found[1]


async def hash_many(connection: Connection, paths: Sequence[str]) -> AsyncGenerator[str, None]:
    """The SHA-256 of each of these small files there, in their order; "" for one that can't be read."""
    async with aclosing(connection.stream(remote.script(_HASH_MANY), stdin=_names(paths))) as lines:
        async for line in lines:
            found = _HASH.search(line)
            yield found[1] if found else ""


def _names(paths: Sequence[str]) -> bytes:
    return b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in paths)


@dataclass(frozen=True, kw_only=True)
class Small:
    """A file that is sent with others: its place below the models folder, what is in it, and its SHA-256."""

    place: str
    content: bytes
    sha256: str


async def send_few(connection: Connection, folder: str, files: Sequence[Small]) -> None:
    """Give a host small files in one session, each under its name once it was seen to be right.

    Raises:
        WrongBytes: what arrived of one is not what was sent. NotAllowed: something has taken a name meanwhile.
        CommandFailed: they can't be written; those before have their names.
    """
    words = [word for file in files for word in (file.sha256, file.place)]
    done = await connection.run(remote.script(_FEW, folder, *words), stdin=_tar(files), timeout_s=_FEW_S)
    for file, told in zip(files, done.stdout.split(), strict=False):
        shown = clean_line(posixpath.join(folder, file.place))
        if told == "t":
            raise NotAllowed(f"{connection.name}: {shown} has come meanwhile; it is left as it is.")
        if told != "o":
            raise WrongBytes(
                f"{connection.name}: what arrived of {shown} is not what was sent.",
                remedy="Copy it again; if that repeats, check the host's disk and memory: dmesg, smartctl.",
            )


def _tar(files: Sequence[Small]) -> bytes:
    import tarfile

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, file in enumerate(files):
            entry = tarfile.TarInfo(str(number))
            entry.size, entry.mode = len(file.content), 0o644
            archive.addfile(entry, io.BytesIO(file.content))
    return packed.getvalue()


async def seal(
    connection: Connection, place: Place, sha256: str, *, replace: bool = False, hashed: bool = False
) -> AsyncGenerator[int, None]:
    """Hash the hidden file there and give it its name, in place of a file with `replace`; bytes read as it goes.

    `hashed` tells that all of it was sent just now, so that the hash of what came may be used.

    Raises:
        WrongBytes: it has another hash, and is gone. NotAllowed: something else has taken the name meanwhile.
    """
    end = ""
    flags = ("replace" if replace else "", "hashed" if hashed else "")
    argv = remote.script(_SEAL, place.hidden, _SUM, sha256, place.target, *flags)
    async with aclosing(connection.stream(argv)) as lines:
        async for line in lines:
            if line.isdigit():
                yield int(line)
            else:
                end = line
    if end == "there":
        raise NotAllowed(f"{connection.name}: {clean_line(place.target)} has come meanwhile; it is left as it is.")
    if end != "sealed":
        raise WrongBytes(
            f"{connection.name}: what arrived of {clean_line(place.target)} is not what was sent.",
            cause=f"SHA-256 there {_shown(end)}, {sha256} was expected.",
            remedy="Copy it again; if that repeats, check the host's disk and memory: dmesg, smartctl.",
        )


def _shown(line: str) -> str:
    found = _HASH.search(line)
    return found[1] if found else "unknown"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
