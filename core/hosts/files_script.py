"""Questions about a host's models folder as POSIX shell scripts, and the reading of their answers.

Names travel NUL-separated on standard input and in the answers: they may hold anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from core.errors import CommandFailed
from core.files import stores
from core.files.installed import InstalledModel
from core.files.kinds import PICKLES, TENSORS
from core.files.leftovers import HiddenFile, is_hidden_work
from core.files.paths import stays_inside
from core.files.tree import Tree
from core.hosts import remote

_UNREADABLE = "\ufffd"  # a name that is no UTF-8 can't be said from here
_STORES = "\0stores\0"
_HIDDEN = "hidden"
_WEIGHTS = r"\( " + " -o ".join(f"-iname '*{end}'" for end in (*TENSORS, *PICKLES)) + r" \)"

_HIDDEN_NAMES = r"\( -name '.*.part' -o -name '.*.part.*' -o -path './.modelyard-*/*' \)"

# $1 the script about stores, $2 the folder, then the folders above it. Block size, blocks and free blocks of its disk;
# the bytes of everything in it; size and path of each file that is not hidden; the time there, then size, time and path
# of what transfers left, and of each download that goes on there its folder and its parts' names; what the other script
# says.
_TREE = f"""
export LC_ALL=C
stores=$1
shift
for p; do
  [ -e "$p" ] || continue
  stat -f -c '%S %b %a' -- "$p" 2>/dev/null ||
    df -P -k -- "$p" | awk 'END {{ n = NF; while ($n !~ /%$/ && n > 4) n--; print 1024, $(n-3), $(n-1) }}'
  break
done
printf '\\0'
if ! cd -- "$1" 2>/dev/null; then
  [ -d "$1" ] && exit {remote.DENIED}
  printf '0\\0'
else
  ls >/dev/null 2>&1 || exit {remote.DENIED}
  if find . -maxdepth 0 -printf '' 2>/dev/null; then gnu=1; else gnu=; fi
  if [ "$gnu" ]; then find . -type f -printf '%s\\n'; else find . -type f -exec stat -c %s {{}} +; fi 2>/dev/null |
    awk '{{ n += $1 }} END {{ printf "%.0f", n }}'
  printf '\\0'
  told='for f; do [ -f "$f" ] && s=$(stat -L -c %s -- "$f") && printf "%s\\t%s\\0" "$s" "$f"; done'
  if [ "$gnu" ]; then
    find . ! -name . -name '.*' -prune -o -type f KEEP -printf '%s\\t%p\\0'
    find . ! -name . -name '.*' -prune -o -type l KEEP -exec sh -c "$told" sh {{}} +
  else
    find . ! -name . -name '.*' -prune -o \\( -type f -o -type l \\) KEEP -exec sh -c "$told" sh {{}} +
  fi 2>/dev/null
  printf 'hidden\\0%s\\0' "$(date +%s)"
  if [ "$gnu" ]; then find . -type f -user "$(id -u)" {_HIDDEN_NAMES} -printf '%s %T@\\t%p\\0'
  else
    told='for f; do s=$(stat -c "%s %Y" -- "$f") && printf "%s\\t%s\\0" "$s" "$f"; done'
    find . -type f -user "$(id -u)" {_HIDDEN_NAMES} -exec sh -c "$told" sh {{}} +
  fi 2>/dev/null
  for s in .modelyard-direct/*/; do
    read -r pid at 2>/dev/null <"${{s}}pid" && kill -0 "$pid" 2>/dev/null || continue
    printf '!\\t%s\\0' "${{s%/}}"
    tr '\\t' '\\n' 2>/dev/null <"${{s}}plan" | grep '^[.]modelyard-.*[.]part$' |
      while IFS= read -r name; do printf '!\\t%s\\0' "$name"; done
  done
fi
printf 'stores\\0'
exec sh -c "$stores" sh
"""

# $1 the folder; on stdin paths below it: whether files may be deleted where it lies ("w", "-", or "?" where that is
# not there), and the folder that it really lies in. The first answer is for the folder itself.
_PARENTS = f"""
export LC_ALL=C
cd -P -- "$1" 2>/dev/null || exit {remote.MISSING}
if [ -w . ]; then w=w; else w=-; fi
printf '%s\\t%s\\0' "$w" "$(pwd -P)"
xargs -0 sh -c 'for p; do (
  case $p in */*) d=./${{p%/*}} ;; *) d=. ;; esac
  if ! cd -P -- "$d" 2>/dev/null; then printf "?\\t\\0"
  elif [ -w . ]; then printf "w\\t%s\\0" "$(pwd -P)"
  else printf -- "-\\t%s\\0" "$(pwd -P)"; fi
) done' sh
"""

# Of each absolute path on stdin: the same without links.
_REAL = """
export LC_ALL=C
xargs -0 sh -c 'for p; do
  r=$(readlink -f -- "$p" 2>/dev/null) || r=
  printf "%s\\0" "${r:-$p}"
done' sh
"""

# $1 the folder; on stdin paths below it, "f" before files to delete, "d" before folders to remove if they are empty.
# A file is deleted from within the folder that it lies in, once that is seen to be in $1. For each file a line:
# "1" it is gone, "0" it still is there, "2" it lies behind a link.
_DELETE = f"""
export LC_ALL=C
cd -P -- "$1" 2>/dev/null || exit {remote.MISSING}
top=$(pwd -P)
[ "$top" = / ] && top=
export top
xargs -0 sh -c 'for p; do (
  kind=${{p%"${{p#?}}"}} p=${{p#?}}
  if [ "$kind" = d ]; then rmdir -- "./$p" 2>/dev/null; exit 0; fi
  case $p in */*) d=./${{p%/*}} ;; *) d=. ;; esac
  if ! cd -P -- "$d" 2>/dev/null; then
    if [ -e "$d" ] || [ -L "$d" ]; then echo 0; else echo 1; fi
    exit 0
  fi
  case $(pwd -P)/ in "$top"/*) ;; *) echo 2; exit 0 ;; esac
  if rm -f -- "./${{p##*/}}"; then echo 1; else echo 0; fi
) done' sh
"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A models folder of a host and what is around it; `free` in bytes.

    `busy` are names of parts, and paths of notes, of downloads that go on there.
    """

    tree: Tree
    free: int
    stores: list[InstalledModel]
    busy: frozenset[str] = frozenset()


def tree_argv(folder: str, *, every: bool) -> list[str]:
    """The files of a folder: every one, or only those that hold weights; its disk, and the stores of other tools."""
    text = _TREE.replace("KEEP ", "" if every else f"{_WEIGHTS} ")
    return remote.script(text, stores.SCRIPT, *remote.ancestors(folder))


def parse_tree(folder: str, told: str) -> Seen:
    """The answer of `tree_argv`; names that can't be said from here are left out.

    Raises:
        CommandFailed: it is none.
    """
    start, found, kept = told.partition(_STORES)
    disk, total, *files = start.split("\0")
    if not found or not total.isdecimal():
        raise CommandFailed("The host's answer about its models folder can't be read.")
    at = files.index(_HIDDEN) if _HIDDEN in files else len(files)
    sizes = dict(one for part in files[:at] if (one := _file(part)))
    hidden, busy = _hidden(files[at + 1 :])
    tree = Tree(files=sizes, total=int(total), hidden=hidden)
    free = remote.parse_disk(folder, disk.encode()).free
    return Seen(tree=tree, free=free, stores=stores.parse(kept), busy=busy)


def _hidden(told: Sequence[str]) -> tuple[list[HiddenFile], frozenset[str]]:
    """What transfers left, and what of it is busy; the first is the time there."""
    now = float(told[0]) if told and told[0].isdecimal() else 0.0
    pairs = [(facts, path) for facts, tab, path in (one.partition("\t") for one in told[1:]) if tab]
    busy = frozenset(path for facts, path in pairs if facts == "!")
    found = (_hidden_file(facts, path.removeprefix("./"), now) for facts, path in pairs if facts != "!")
    return [one for one in found if one is not None and is_hidden_work(one.path)], busy


def _hidden_file(facts: str, path: str, now: float) -> HiddenFile | None:
    size, _, changed = facts.partition(" ")
    if not size.isdecimal() or not stays_inside(path) or _UNREADABLE in path:
        return None
    try:
        return HiddenFile(path=path, size=int(size), age_s=now - float(changed))
    except ValueError:
        return None


def _file(part: str) -> tuple[str, int] | None:
    size, _, path = part.partition("\t")
    path = path.removeprefix("./")
    if not size.isdecimal() or not stays_inside(path) or _UNREADABLE in path:
        return None
    return path, int(size)


def parents_argv(folder: str) -> list[str]:
    """Where files of a folder really lie."""
    return remote.script(_PARENTS, remote.safe(folder))


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The folder that a file lies in; None where there is none."""

    path: PurePosixPath | None
    writable: bool


def parse_parents(told: str, count: int) -> tuple[Parent, list[Parent]]:
    """The answer of `parents_argv`: the folder itself, and of each path its parent.

    Raises:
        CommandFailed: it is none.
    """
    marks = [part.partition("\t") for part in told.split("\0")[:-1]]
    if len(marks) != count + 1:
        raise CommandFailed("The host's answer about its files can't be read.")
    parents = [
        Parent(path=None if mark == "?" else PurePosixPath(path), writable=mark != "-") for mark, _, path in marks
    ]
    return parents[0], parents[1:]


def real_argv() -> list[str]:
    """Paths without links."""
    return remote.script(_REAL)


def delete_argv(folder: str) -> list[str]:
    """Delete files of a folder, and folders in it that are empty then."""
    return remote.script(_DELETE, remote.safe(folder))


def deletions(files: Sequence[str]) -> bytes:
    """What `delete_argv` reads: the files, then the folders that they lie in, the inner ones first."""
    folders = {str(parent) for file in files for parent in PurePosixPath(file).parents if str(parent) != "."}
    inner_first = sorted(folders, key=lambda path: path.count("/"), reverse=True)
    return names([*(f"f{file}" for file in files), *(f"d{folder}" for folder in inner_first)])


def names(paths: Iterable[str]) -> bytes:
    """Paths as scripts read them."""
    return b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in paths)
