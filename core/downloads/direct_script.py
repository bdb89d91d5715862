"""What a host runs to download by itself: POSIX shell and its own curl, alive without the line that started it.

The token is a variable of that shell, never exported, and curl reads it from its standard input: neither is in any
argv, environment or file. All state lies in a folder of the user's own (mode 0700) in the host's models folder.
"""

from __future__ import annotations

NO_CURL, NOT_OURS = 43, 48

# $1 a pid: what tells it from a later one with the same number.
_ALIVE = """
export LC_ALL=C
began() { cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null || echo -; }
alive() {
  read -r pid at 2>/dev/null <"$S/pid" || return 1
  kill -0 "$pid" 2>/dev/null && [ "$at" = "$(began "$pid")" ]
}
"""

# The limit on bytes per second is a file, so that it may change: below one, files come one by one, each with all of it.
# There curl may take a hundred reads at once and then be silent for as long as they are worth: a small file would come
# whole at full speed, so what comes after a file waits for its time, and silence is no sign of a lost line. Who changes
# the limit ends curl (143), which then goes on from there with the new one.
# The lines of `log`: v(erifying) FILE; w(aiting) FILE WHY; d(one) FILE SIZE SHA256; x FILE KIND WHY; end ok|failed.
RUN = """
export LC_ALL=C
umask 022
S=$1 lanes=$3 replace=$4 owed=0
IFS= read -r token
exec </dev/null
cd -- "$2" || exit 1
trap '' HUP
trap 'trap "" TERM; kill 0; exit 143' TERM
T=$(printf '\\t')
echo "$$ $(cut -d' ' -f22 "/proc/$$/stat" 2>/dev/null || echo -)" >"$S/pid"
say() { printf '%s\\n' "$*" >>"$S/log"; }
NAMED='c=$1; l=$2; echo "$$ $(cut -d" " -f22 "/proc/$$/stat" 2>/dev/null || echo -) $3 $4" >"$c"
read -r now 2>/dev/null <"$l"; [ "${now:-0}" = "$3" ] || exit 143
shift 4; exec "$@"'
esc() { printf '%s' "$1" | sed 's/[\\\\"]/\\\\&/g'; }
origin() { printf '%s' "$1" | sed 's|^\\([a-zA-Z]*://[^/?#]*\\).*|\\1|'; }
length() { if [ -f "$1" ]; then echo $(($(wc -c <"$1"))); else echo 0; fi; }
sum() {
  if command -v openssl >/dev/null; then openssl dgst -sha256 <"$1"
  elif command -v python3 >/dev/null; then python3 -I -c 'import hashlib, sys
h = hashlib.sha256()
while b := sys.stdin.buffer.read(1 << 22): h.update(b)
print(h.hexdigest())' <"$1"
  else sha256sum <"$1"; fi | sed 's/.*\\([0-9a-f]\\{64\\}\\).*/\\1/'
}
gitsum() {
  { printf 'blob %s\\0' "$bytes"; cat -- "$1"; } |
    if command -v sha1sum >/dev/null; then sha1sum; else openssl dgst -sha1; fi |
    sed 's/.*\\([0-9a-f]\\{40\\}\\).*/\\1/'
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
  [ -f "$S/$i.head" ] && tr -d '\\r' <"$S/$i.head" | awk '
    /^HTTP\\//{ ok = $2 == 200; e = d = "" }
    tolower($1) == "etag:" { sub(/^[^:]*: */, ""); e = $0 }
    tolower($1) == "last-modified:" { sub(/^[^:]*: */, ""); d = $0 }
    END { if (ok) print (e != "" && e !~ /^W\\//) ? e : d }'
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
fetch() {
  turn || return 1
  head=$S/$i.head begun=$(clock) given=$limit silence_s=30
  [ "$at" = 0 ] || head=$S/$i.more
  [ -z "$given" ] || silence_s=$((150 + 102400 / given))
  told=$({
    printf 'url = "%s"\\n' "$(esc "$now")"
    if [ -n "$bearer" ] && [ "$(origin "$now")" = "$(origin "$url")" ]; then
      printf 'header = "Authorization: Bearer %s"\\n' "$(esc "$bearer")"
    fi
    [ -z "$given" ] || printf 'limit-rate = %s\\n' "$given"
    if [ "$at" != 0 ]; then
      printf 'continue-at = %s\\n' "$at"
      [ -z "$tag" ] || printf 'header = "If-Range: %s"\\n' "$(esc "$tag")"
    fi
  } | sh -c "$NAMED" modelyard-curl "$S/curl.$lane" "$S/limit" "${given:-0}" "$head" \\
    curl -q --config - --silent --show-error --fail --globoff --proto '=http,https' --connect-timeout 10 \\
    --speed-limit 1 --speed-time "$silence_s" --dump-header "$head" --output "$part" \\
    --write-out '%{http_code} %{redirect_url}' 2>"$S/$i.err")
  rc=$? code=${told%% *} next=${told#* }
  rm -f -- "$S/curl.$lane"
  pace
  [ -z "$has" ] || rmdir -- "$S/turn"
}
pause_s() {
  asked=$(tr -d '\\r' <"$head" 2>/dev/null | awk '
    tolower($1) == "retry-after:" && $2 ~ /^[0-9]+$/ { s = $2 }
    END { print s }')
  [ -n "$asked" ] || asked=$((1 << (tries < 6 ? tries : 6)))
  [ "$asked" -le 60 ] || asked=60
  echo "$asked"
}
problem() { printf 'HTTP %s, curl %s: %s' "$code" "$rc" "$(tr '\\n' ' ' <"$S/$i.err" | cut -c1-200)"; }
place() {
  if [ "$replace" = replace ] && [ -f "$path" ] && [ ! -L "$path" ]; then mv -f -- "$part" "$path"
  elif [ -e "$path" ] || [ -L "$path" ]; then return 1
  elif ln -T -- "$part" "$path" 2>/dev/null; then rm -f -- "$part"
  else mv -n -- "$part" "$path"; fi
  [ ! -e "$part" ]
}
refused() { rm -f -- "$S/reserve"; say x "$i" "$@"; return 1; }  # a full disk has room to tell of it
one() {
  path=./$path
  dir=${path%/*} bearer=$token
  case $token in \\?*) url=$url$token bearer= ;; esac
  part=$dir/$name now=$url tries=0 hops=0 wrong=0 moved=no
  way=$dir
  while [ "$way" != . ]; do
    [ ! -L "$way" ] || { refused taken "$way is a link"; return; }
    way=${way%/*}
  done
  mkdir -p -- "$dir" || { refused write "$dir can not be made"; return; }
  if [ -e "$path" ] || [ -L "$path" ]; then
    if [ -f "$path" ] && [ "$sha$git" != -- ] && right "$path"; then say d "$i" "$bytes" "$got"; return 0; fi
    [ "$replace" = replace ] && [ -f "$path" ] && [ ! -L "$path" ] || { refused taken "it is there already"; return; }
  fi
  [ ! -L "$part" ] || rm -f -- "$part"
  echo "$part" >"$S/now.$lane"
  while :; do
    at=$(length "$part") tag=$(tagged)
    if [ "$at" != 0 ] && { [ -z "$tag$sha" ] || [ "$tag$sha" = - ]; }; then rm -f -- "$part"; at=0; fi
    if [ "$size" != - ] && [ "$at" -gt "$size" ]; then rm -f -- "$part"; at=0; fi
    if [ "$size" = - ] || [ "$at" -lt "$size" ]; then fetch || return; else rc=0 code=200; fi
    [ "$size" != 0 ] || : >>"$part"
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
lane() {
  i=0
  while IFS=$T read -r size sha git name url path; do
    [ ! -e "$S/failed" ] || return
    if [ $((i % lanes)) = "$lane" ]; then one || { : >"$S/failed"; return; }; fi
    i=$((i + 1))
  done <"$S/plan"
}
lane=0
while [ "$lane" -lt "$lanes" ]; do lane & lane=$((lane + 1)); done
wait
if [ -e "$S/failed" ]; then say end failed; else say end ok; fi
"""

# $1 bytes per second or 0: for what is under way, too, unless its server may not be able to go on where it stopped.
_LIMIT = """
limit_to() {
  read -r now 2>/dev/null <"$S/limit" && [ "$now" = "$1" ] ||
    { echo "$1" >"$S/limit.new" && mv -f -- "$S/limit.new" "$S/limit"; } || return 1
  for c in "$S"/curl.*; do
    read -r p at given head 2>/dev/null <"$c" && [ "$given" != "$1" ] && [ "$at" = "$(began "$p")" ] || continue
    if grep -qiE '^(accept-ranges: *bytes|content-range:)' "$head" 2>/dev/null; then kill -TERM "$p"
    else echo later; fi
  done
  return 0
}
"""

# $1 state, $2 folder, $3 lanes, $4 "replace" or "", $5 RUN, $6 bytes per second or 0; stdin: the token's line, then
# the plan.
LAUNCH = f"""
S=$1
{_ALIVE}
{_LIMIT}
command -v curl >/dev/null || exit {NO_CURL}
mkdir -p -- "$2" "${{S%/*}}" && mkdir -p -m 700 -- "$S" || exit 1
[ -O "$S" ] && [ ! -L "$S" ] || exit {NOT_OURS}
limit_to "$6" || alive || exit 1
if alive; then echo running; exit 0; fi
IFS= read -r token
cat >"$S/new" && head -c 65536 /dev/zero >"$S/reserve" || exit 1
if [ "$(tail -n 1 "$S/log" 2>/dev/null)" = "end ok" ] && cmp -s "$S/new" "$S/plan"; then echo ended; exit 0; fi
mv -f -- "$S/new" "$S/plan"
rm -f -- "$S/pid" "$S/failed" "$S"/now.* "$S"/curl.*
rmdir -- "$S/turn" 2>/dev/null
: >"$S/log"
run=setsid
command -v setsid >/dev/null || run=nohup
printf '%s\\n' "$token" | $run sh -c "$5" modelyard-fetch "$S" "$2" "$3" "$4" >/dev/null 2>"$S/err" &
tries=0
while [ "$tries" -lt 50 ] && [ ! -s "$S/pid" ]; do sleep 0.1; tries=$((tries + 1)); done
[ -s "$S/pid" ] || {{ cat "$S/err" >&2; exit 1; }}
echo started
"""

# $1 state, $2 bytes per second or 0: from now on; "later" when something under way keeps its own to its end.
LIMIT = f"""
S=$1
[ -d "$S" ] || exit 0
{_ALIVE}
{_LIMIT}
limit_to "$2"
"""

# $1 state, $2 folder: new lines of the log, and `b` with the bytes of files under way, each second until it is over.
WATCH = f"""
S=$1 seen=0
{_ALIVE}
cd -- "$2" || exit 1
while :; do
  alive && goes=yes || goes=no
  new=$(tail -n "+$((seen + 1))" "$S/log" 2>/dev/null)
  if [ -n "$new" ]; then printf '%s\\n' "$new"; seen=$((seen + $(printf '%s\\n' "$new" | wc -l))); fi
  bytes=0
  for now in "$S"/now.*; do
    part=$(cat -- "$now" 2>/dev/null) && more=$(wc -c 2>/dev/null <"$part") && bytes=$((bytes + more))
  done
  echo "b $bytes"
  [ "$goes" = yes ] || exit 0
  sleep 1
done
"""

# $1 state: end it with all that it started; parts stay.
STOP = f"""
S=$1
{_ALIVE}
alive || exit 0
kill -TERM "$pid"
tries=0
while alive && [ "$tries" -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
alive && kill -KILL -- "-$pid"
exit 0
"""

# $1 state: it is over, and noted.
CLEAN = """
[ -O "$1" ] && [ ! -L "$1" ] && rm -rf -- "$1"
rmdir -- "${1%/*}" 2>/dev/null
exit 0
"""

# An address on stdin, for curl: whether the host gets there at all.
REACH = f"""
command -v curl >/dev/null || exit {NO_CURL}
curl -q --config - --silent --show-error --head --globoff --proto '=http,https' --output /dev/null \\
  --connect-timeout 10 --max-time 20
"""
