"""What a host runs to download by itself: POSIX shell and its own curl, alive without the line that started it.

The token is a variable of that shell, never exported, and curl reads it from its standard input: neither is in any
argv, environment or file. All state lies in a folder of the user's own (mode 0700) in the host's models folder.
"""

from __future__ import annotations

from core.downloads.direct_few import FEW
from core.downloads.direct_one import ONE

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

# $1 state, $2 folder, $3 lanes, $4 "replace" or ""; stdin: the token. Files that go alone and batches of small ones
# have lanes of their own, twice as many: for those each answer is waited for.
# The limit on bytes per second is a file, so that it may change: below one, files come one by one, each with all of it.
# There curl may take a hundred reads at once and then be silent for as long as they are worth: a small file would come
# whole at full speed, so what comes after a file waits for its time, and silence is no sign of a lost line. Who changes
# the limit ends curl (143), which then goes on from there with the new one.
# The lines of `plan`: BATCH SIZE SHA256 GIT NAME URL PATH, "-" for what is not known and for no batch. Those of `log`:
# v(erifying) FILE; w(aiting) FILE WHY; d(one) FILE SIZE SHA256; x FILE KIND WHY; end ok|failed.
_BEGIN = r"""
export LC_ALL=C
umask 022
S=$1 lanes=$3 replace=$4 owed=0
IFS= read -r token
exec </dev/null
cd -- "$2" || exit 1
trap '' HUP
trap 'trap "" TERM; kill 0; exit 143' TERM
T=$(printf '\t')
echo "$$ $(cut -d' ' -f22 "/proc/$$/stat" 2>/dev/null || echo -)" >"$S/pid"
say() { printf '%s\n' "$*" >>"$S/log"; }
NAMED='c=$1; l=$2; echo "$$ $(cut -d" " -f22 "/proc/$$/stat" 2>/dev/null || echo -) $3 $4" >"$c"
read -r now 2>/dev/null <"$l"; [ "${now:-0}" = "$3" ] || exit 143
shift 4; exec "$@"'
"""

_LANES = r"""
fail() { true >"$S/failed"; }
lane() {
  awk -F"$T" -v lane="$lane" -v lanes="$lanes" \
    '$1 == "-" && n++ % lanes == lane { sub(/^-/, NR - 1); print }' "$S/plan" >"$S/lane.$lane" || { fail; return; }
  while IFS=$T read -r i size sha git name url path; do
    [ ! -e "$S/failed" ] || return
    one || { fail; return; }
  done <"$S/lane.$lane"
}
few_lane() {
  B=$S/few.$lane batch=$((lane - lanes))  # the lanes of batches are numbered after the others
  mkdir -p -- "$B" && echo "accept-ranges: bytes" >"$B/ranges" || { fail; return; }
  while [ ! -e "$S/failed" ]; do
    awk -F"$T" -v batch="$batch" '$1 == batch { sub(/^[0-9]+/, NR - 1); print }' "$S/plan" >"$B/plan" ||
      { fail; return; }
    [ -s "$B/plan" ] || return
    few || { fail; return; }
    batch=$((batch + few_lanes))
  done
}
lane=0 few_lanes=$((2 * lanes))
while [ "$lane" -lt "$lanes" ]; do lane & lane=$((lane + 1)); done
while [ "$lane" -lt $((lanes + few_lanes)) ]; do few_lane & lane=$((lane + 1)); done
wait
if [ -e "$S/failed" ]; then say end failed; else say end ok; fi
echo "$$ ended" >"$S/pid"
"""

RUN = _BEGIN + ONE + FEW + _LANES

# $1 bytes per second or 0: for what is under way, too, unless its server may not be able to go on where it stopped.
_LIMIT = """
limit_to() {
  read -r now 2>/dev/null <"$S/limit" && [ "$now" = "$1" ] ||
    { echo "$1" >"$S/limit.new" && mv -f -- "$S/limit.new" "$S/limit"; } || return 1
  for c in "$S"/curl.*; do
    read -r p at given head 2>/dev/null <"$c" && [ "$given" != "$1" ] && [ "$at" = "$(began "$p")" ] || continue
    if grep -qiE '^(accept-ranges: *bytes|content-range:)' "$head" 2>/dev/null; then kill -TERM "$p" 2>/dev/null
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

# $1 state, $2 folder: new lines of the log, and `b` with the bytes of files under way, each second until it is over;
# more often at first, for what is soon over.
WATCH = f"""
S=$1 seen=0 looks=0 n='
'
{_ALIVE}
cd -- "$2" || exit 1
while :; do
  alive && goes=yes || goes=no
  new=$(tail -n "+$((seen + 1))" "$S/log" 2>/dev/null)
  if [ -n "$new" ]; then printf '%s\\n' "$new"; seen=$((seen + $(printf '%s\\n' "$new" | wc -l))); fi
  cat -- "$S"/now.* 2>/dev/null | tr '\\n' '\\0' | xargs -0 wc -c 2>/dev/null |
    awk '$2 ~ "^[.]/" {{ n += $1 }} END {{ printf "b %.0f\\n", n }}'
  case "$n$new" in *"${{n}}end ok" | *"${{n}}end failed") exit 0 ;; esac
  [ "$goes" = yes ] || exit 0
  if [ "$looks" -lt 10 ]; then sleep 0.2; looks=$((looks + 1)); else sleep 1; fi
done
"""

# $1 state: end it with all that it started; parts stay.
STOP = f"""
S=$1
{_ALIVE}
alive || exit 0
kill -TERM "$pid" 2>/dev/null
tries=0
while alive && [ "$tries" -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
alive && kill -KILL -- "-$pid" 2>/dev/null
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
