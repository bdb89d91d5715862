"""How a host fetches one file: with patience, from where it was cut, and with words for what is wrong.

Shell, a part of what `direct_script` puts together.
"""

from __future__ import annotations

ONE = r"""
setting() {
  case $2 in
    *[\\\"]*) printf '%s = "%s"\n' "$1" "$(printf '%s' "$2" | sed 's/[\\"]/\\&/g')" ;;
    *) printf '%s = "%s"\n' "$1" "$2" ;;
  esac
}
origin() { origin=${1#*://}; origin=${1%%://*}://${origin%%[/?#]*}; }
length() { if [ -f "$1" ]; then echo $(($(wc -c <"$1"))); else echo 0; fi; }
sum() {
  if command -v openssl >/dev/null; then openssl dgst -sha256 <"$1"
  elif command -v python3 >/dev/null; then python3 -I -c 'import hashlib, sys
h = hashlib.sha256()
while b := sys.stdin.buffer.read(1 << 22): h.update(b)
print(h.hexdigest())' <"$1"
  else sha256sum <"$1"; fi | sed 's/.*\([0-9a-f]\{64\}\).*/\1/'
}
gitsum() {
  { printf 'blob %s\0' "$bytes"; cat -- "$1"; } |
    if command -v sha1sum >/dev/null; then sha1sum; else openssl dgst -sha1; fi |
    sed 's/.*\([0-9a-f]\{40\}\).*/\1/'
}
right() {
  bytes=$(length "$1") why=
  [ "$size" = - ] || [ "$bytes" = "$size" ] || { why="$bytes bytes came, $size were announced"; return 1; }
  say v "$i"
  got=$(sum "$1")
  [ "$sha" = - ] || [ "$got" = "$sha" ] || { why="SHA-256 $got, $sha was announced"; return 1; }
  [ "$git" = - ] || [ "$(gitsum "$1")" = "$git" ] || { why="another git hash than was announced"; return 1; }
}
tagged() {
  [ -f "$S/$i.head" ] && tr -d '\r' <"$S/$i.head" | awk '
    /^HTTP\//{ ok = $2 == 200; e = d = "" }
    tolower($1) == "etag:" { sub(/^[^:]*: */, ""); e = $0 }
    tolower($1) == "last-modified:" { sub(/^[^:]*: */, ""); d = $0 }
    END { if (ok) print (e != "" && e !~ /^W\//) ? e : d }'
}
clock() { if read -r up rest 2>/dev/null </proc/uptime; then echo "${up%.*}${up#*.}"; else echo "$(date +%s)00"; fi; }
allowed() { read -r limit 2>/dev/null <"$S/limit" || limit=; [ "$limit" != 0 ] || limit=; }
turn() {
  allowed
  has= missed=0
  while [ -n "$limit" ] && [ "$missed" -lt 50 ]; do
    [ ! -e "$S/failed" ] || return 1
    if mkdir -- "$S/turn" 2>/dev/null; then has=yes; break; fi
    if [ -d "$S/turn" ]; then missed=0; else missed=$((missed + 1)); fi
    sleep 0.2
    allowed
  done
}
pace() {
  [ -n "$given" ] || return 0
  owed=$((owed + $(length "$part") - at))
  [ "$owed" -gt 0 ] || owed=0
  due=$((owed * 100 / given))
  owed=$((owed - due * given / 100)) early=$((due - ($(clock) - begun)))
  while [ "$early" -gt 0 ]; do
    step=$((early < 100 ? early : 100)) early=$((early - 100))
    sleep "$((step / 100)).$(printf %02d "$((step % 100))")"
    allowed
    [ "$limit" = "$given" ] || { owed=0; break; }
  done
}
may_have_token() {
  origin "$url"; home=$origin
  origin "$now"; [ -n "$bearer" ] && [ "$origin" = "$home" ]
}
# $1 bytes per second or 0, $2 a file that tells whether the server can go on in the middle, and options of curl, which
# reads the rest from stdin.
curled() {
  known=$1 ranges=$2
  shift 2
  sh -c "$NAMED" modelyard-curl "$S/curl.$lane" "$S/limit" "$known" "$ranges" \
    curl -q --config - --silent --show-error --fail --globoff --proto '=http,https' --connect-timeout 10 \
    --speed-limit 1 "$@"
  rc=$?
  rm -f -- "$S/curl.$lane"
  return "$rc"
}
fetch() {
  turn || return 1
  head=$S/$i.head begun=$(clock) given=$limit silence_s=30
  [ "$at" = 0 ] || head=$S/$i.more
  [ -z "$given" ] || silence_s=$((150 + 102400 / given))
  told=$({
    setting url "$now"
    if may_have_token; then setting header "Authorization: Bearer $bearer"; fi
    [ -z "$given" ] || printf 'limit-rate = %s\n' "$given"
    if [ "$at" != 0 ]; then
      printf 'continue-at = %s\n' "$at"
      [ -z "$tag" ] || setting header "If-Range: $tag"
    fi
  } | curled "${given:-0}" "$head" --speed-time "$silence_s" --dump-header "$head" --output "$part" \
    --write-out '%{http_code} %{redirect_url}' 2>"$S/$i.err")
  rc=$? code=${told%% *} next=${told#* }
  pace
  [ -z "$has" ] || rmdir -- "$S/turn"
}
pause_s() {
  asked=$(tr -d '\r' <"$head" 2>/dev/null | awk '
    tolower($1) == "retry-after:" && $2 ~ /^[0-9]+$/ { s = $2 }
    END { print s }')
  [ -n "$asked" ] || asked=$((1 << (tries < 6 ? tries : 6)))
  [ "$asked" -le 60 ] || asked=60
  echo "$asked"
}
problem() { printf 'HTTP %s, curl %s: %s' "$code" "$rc" "$(tr '\n' ' ' <"$S/$i.err" | cut -c1-200)"; }
place() {
  if [ "$replace" = replace ] && [ -f "$path" ] && [ ! -L "$path" ]; then mv -f -- "$part" "$path"
  elif [ -e "$path" ] || [ -L "$path" ]; then return 1
  elif ln -T -- "$part" "$path" 2>/dev/null; then rm -f -- "$part"
  else mv -n -- "$part" "$path"; fi
  [ ! -e "$part" ]
}
refused() { rm -f -- "$S/reserve"; say x "$i" "$@"; return 1; }  # a full disk has room to tell of it
is_clear() {
  way=$dir
  while [ "$way" != . ]; do
    [ ! -L "$way" ] || return 1
    way=${way%/*}
  done
}
one() {
  path=./$path
  dir=${path%/*} bearer=$token
  case $token in \?*) url=$url$token bearer= ;; esac
  part=$dir/$name now=$url tries=0 hops=0 wrong=0 moved=no
  is_clear || { refused taken "$way is a link"; return; }
  mkdir -p -- "$dir" || { refused write "$dir can not be made"; return; }
  if [ -e "$path" ] || [ -L "$path" ]; then
    if [ -f "$path" ] && [ "$sha$git" != -- ] && right "$path"; then
      [ ! -f "$part" ] || rm -f -- "$part"
      say d "$i" "$bytes" "$got"
      return 0
    fi
    [ "$replace" = replace ] && [ -f "$path" ] && [ ! -L "$path" ] || { refused taken "it is there already"; return; }
  fi
  [ ! -L "$part" ] || rm -f -- "$part"
  echo "$part" >"$S/now.$lane"
  while :; do
    at=$(length "$part") tag=$(tagged)
    if [ "$at" != 0 ] && { [ -z "$tag$sha" ] || [ "$tag$sha" = - ]; }; then rm -f -- "$part"; at=0; fi
    if [ "$size" != - ] && [ "$at" -gt "$size" ]; then rm -f -- "$part"; at=0; fi
    if [ "$size" = - ] || [ "$at" -lt "$size" ]; then fetch || return; else rc=0 code=200; fi
    [ "$size" != 0 ] || true >>"$part" || { refused write "$part can not be made"; return; }
    case $rc:$code in
      *:30[12378])
        [ "$at" != 0 ] || rm -f -- "$part" "$S/$i.head"
        hops=$((hops + 1)) now=$next
        [ "$hops" -le 10 ] && [ -n "$next" ] || { refused lost "it redirects in circles"; return; }
        continue ;;
      0:2*)
        if right "$part"; then
          place || { refused taken "it has come meanwhile, or can not be renamed"; return; }
          rm -f -- "$S/$i".* "$S/now.$lane"
          say d "$i" "$bytes" "$got"
          return 0
        fi
        if [ "$size" = - ] || [ "$bytes" -ge "$size" ]; then
          rm -f -- "$part" "$S/$i.head"
          wrong=$((wrong + 1))
          [ "$wrong" -lt 2 ] || { refused wrong "$why"; return; }
          now=$url hops=0
          continue
        fi ;;
      143:*)
        allowed
        [ "$limit" = "$given" ] || continue ;;
      22:401|22:403|22:410)
        [ "$now" != "$url" ] || { refused denied "$(problem)"; return; }
        now=$url hops=0
        [ "$tries" != 0 ] || { tries=1; continue; } ;;
      22:404) refused gone "$(problem)"; return ;;
      22:416|33:2*) rm -f -- "$part" "$S/$i.head" ;;
      23:*) refused write "$(problem)"; return ;;
      22:429|22:408|22:425|22:5??) ;;
      22:*) refused lost "$(problem)"; return ;;
    esac
    new=$(length "$part")
    if [ "$new" -gt "$at" ]; then tries=0 moved=yes hops=0; else tries=$((tries + 1)); fi
    case $moved:$rc in
      no:[567]|no:28|no:35|no:60|no:97) [ "$tries" -lt 3 ] || { refused route "$(problem)"; return; } ;;
    esac
    [ "$tries" -lt 8 ] || { refused lost "$(problem)"; return; }
    say w "$i" "$(problem)"
    sleep "$(pause_s)"
  done
}
"""
