"""How a host fetches many small files: one curl and one look for a batch, where each file would need twenty programs.

What a batch can't do is left, file by file, to `direct_one`: an error, wrong bytes, a name that is taken, a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.downloads.sources.base import SourceFile

SMALL = 1 << 20  # bytes
_MOST_FILES, _MOST_BYTES = 50, 4 << 20

# What is noted of a batch lies in $B, in lines: `plan` NUMBER SIZE SHA256 GIT NAME URL PATH; `ask` NUMBER HOPS HOME
# PART ADDRESS, where HOME alone may see the token, which is in no file; `seen` and `sized` NUMBER SIZE SHA256 GIT FILE
# PART PATH. `over` has the numbers of the files that are done. On a full disk a line may be cut: then none is believed.
FEW = r"""
sums() {
  kind=$1
  shift
  if command -v "sha${kind}sum" >/dev/null; then "sha${kind}sum" "$@"; else openssl dgst "-sha$kind" -r "$@"; fi
}
is_over() { case $over in *" $i "*) return 0 ;; esac; return 1; }
is_plain() { [ -f "$1" ] && [ ! -L "$1" ]; }
where() {
  path=./$path
  dir=${path%/*}
  part=$dir/$name
}
list_there() {
  set --
  while IFS=$T read -r i size sha git name url path; do
    where
    if is_over || ! is_clear || [ "$sha$git" = -- ]; then continue; fi
    file=$part
    is_plain "$file" && { [ -s "$file" ] || [ "$size" = 0 ]; } || file=$path
    is_plain "$file" || continue
    set -- "$@" "$file"
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$i" "$size" "$sha" "$git" "$file" "$part" "$path" || return 1
  done <"$B/plan" >"$B/seen"
  [ $# != 0 ] && wc -c "$@" >"$B/sizes" 2>/dev/null
}
list_sums() {
  set --
  blobs=
  while IFS=$T read -r i size sha git file part path && read -r bytes rest <&3; do
    [ "$bytes" = "$size" ] || continue
    if [ "$git" != - ]; then { printf 'blob %s\0' "$size"; cat "$file"; } >"$B/blob.$i"; blobs="$blobs blob.$i"; fi
    set -- "$@" "$file"
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$i" "$size" "$sha" "$git" "$file" "$part" "$path" || return 1
  done <"$B/seen" 3<"$B/sizes" >"$B/sized"
  [ $# != 0 ] && sums 256 "$@" >"$B/sums" || return 1
  true >"$B/gits"
  [ -z "$blobs" ] || (cd -- "$B" && sums 1 $blobs) >"$B/gits"
}
place_right() {
  set --
  while IFS=$T read -r i size sha git file part path && read -r got rest <&3; do
    if [ "$git" != - ]; then read -r gitgot rest <&4 && [ "$gitgot" = "$git" ] || continue; fi
    [ "$sha" = - ] || [ "$got" = "$sha" ] || continue
    if [ "$file" = "$path" ] || ln -T "$part" "$path" 2>/dev/null; then set -- "$@" "$part"; else place || continue; fi
    printf 'd %s %s %s\n' "$i" "$size" "$got" && over="$over$i "
  done <"$B/sized" 3<"$B/sums" 4<"$B/gits" >"$B/right"
  rm -f "$@" "$B"/blob.*
  cat "$B/right" >>"$S/log"
}
look() { list_there && list_sums && place_right; }
list_asks() {
  while IFS=$T read -r i size sha git name url path; do
    where
    if is_over || ! is_clear || [ -L "$part" ] || [ -e "$S/$i.head" ]; then continue; fi
    if [ -e "$path" ] || [ -L "$path" ]; then [ "$replace" = replace ] && is_plain "$path" || continue; fi
    [ -d "$dir" ] || mkdir -p "$dir" 2>/dev/null || continue
    true 2>/dev/null >"$part" || continue
    [ "$size" != 0 ] || continue
    origin "$url"
    printf '%s\t0\t%s\t%s\t%s\n' "$i" "$origin" "$part" "$url" || return 1
    printf '%s\n' "$part" >&3
  done <"$B/plan" >"$B/ask" 3>"$S/now.few.$lane"
  return 0
}
group() {
  group=home
  [ -n "$bearer" ] || return 0
  origin "$address"
  [ "$origin" = "$home" ] || group=away
}
settings() {
  [ "$those" = away ] || [ -z "$bearer" ] || setting header "Authorization: Bearer $bearer"
  while IFS=$T read -r i hops home part address; do
    group
    [ "$group" = "$those" ] || continue
    [ "$hops" != 0 ] || address=$address$query
    setting url "$address"
    setting output "$part"
  done <"$B/ask"
}
list_left() {
  failing=" "
  while IFS=$T read -r i hops home part address; do
    group
    if [ "$group" = "$those" ] && read -r code next <&3; then
      case $code:$next in
        2*) continue ;;
        30[12378]:?*) true >"$part"; hops=$((hops + 1)) address=$next ;;
        *) failing="$failing$i "; continue ;;
      esac
      [ "$hops" -le 10 ] || continue
    fi
    printf '%s\t%s\t%s\t%s\t%s\n' "$i" "$hops" "$home" "$part" "$address" || return 1
  done <"$B/ask" 3<"$B/told" >"$B/left"
  mv -f "$B/left" "$B/ask"
}
ask() {
  bearer=$token query=
  case $token in \?*) query=$token bearer= ;; esac
  while allowed && [ -z "$limit" ] && IFS=$T read -r i hops home part address <"$B/ask"; do
    group
    those=$group
    settings | curled 0 "$B/ranges" --fail-early --speed-time 30 --write-out '%{http_code} %{redirect_url}\n' \
      >"$B/told" 2>/dev/null
    [ -s "$B/told" ] && list_left || return 0
    [ "$failing" = " " ] || alone "$failing" || return 1
  done
}
alone() {
  while IFS=$T read -r i size sha git name url path; do
    if is_over; then continue; fi
    case $1 in all|*" $i "*) ;; *) continue ;; esac
    [ ! -e "$S/failed" ] && one || return 1
    over="$over$i "
  done <"$B/plan"
}
few() {
  over=" "
  look
  allowed
  if [ -z "$limit" ] && list_asks; then
    ask || return 1
    look
  fi
  alone all || return 1
  rm -f "$S/now.few.$lane" "$B/told"
}
"""


def batches(files: Sequence[SourceFile], known: Sequence[str], most: int) -> list[int | None]:
    """Of each file the number of its batch, or None for one that goes alone; `most` are under way at once.

    The batches are of about one size each, so that none of those that work at them is idle for long.
    """
    small = [
        number
        for number, (file, sha256) in enumerate(zip(files, known, strict=True))
        if file.size is not None and file.size <= SMALL and (sha256 or file.sha256 or file.git_sha1)
    ]
    weight = sum(files[number].size or 0 for number in small)
    needed = max(-(-len(small) // _MOST_FILES), -(-weight // _MOST_BYTES))
    count = min(len(small), most * max(1, -(-needed // most)))
    place: list[int | None] = [None] * len(files)
    for turn, number in enumerate(small):
        place[number] = turn % count
    return place
