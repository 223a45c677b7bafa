#!/usr/bin/env bash
# Samples where a leader and a follower spend their processor time under load, and makes a page of flame graphs of it.
set -euo pipefail
# shellcheck source=cluster-scripts/ensemble.sh
. "$(dirname "${BASH_SOURCE[0]}")/ensemble.sh"

usage() {
  cat >&2 <<'TEXT'
usage: profile.sh [--seconds S] [--workloads A,B] [DIR]

Starts three fresh members on this machine for each workload, drives them with `vivarium bench`, samples the stacks of
the leader and of one follower with `perf`, and writes a page with tables and flame graphs. Everything that was
started is ended, also on an interrupt.

  --seconds S      sampled of each workload (default 20)
  --workloads A,B  of create, get, watch (default: all)
  DIR              profile.md and its pictures (default docs/performance)

target/profile (or PROFILE_DATA) gets what was sampled, about 12 MB for each second that a member computes, from
which `cargo run --example profile -- DATA DIR` makes the page again; and the logs of all members.

Needs perf, and the right to see the kernel's part: that of root, or
`sysctl kernel.perf_event_paranoid=1 kernel.kptr_restrict=0`.

  VIVARIUM_BIN          the program, with its symbols (default: target/release/vivarium, built if it is missing)
  PERF                  the program perf (default: perf)
  PROFILE_PAGE          the program that makes the page (default: the example, run by cargo)
  VIVARIUM_ALLOW_TMPFS  see cluster.sh
TEXT
  exit 2
}

# Name; flags.
catalog='
create | create -c 16 -p 8
get    | get -c 16 -p 8
watch  | watch -c 301
'
# Not a divisor of what comes round every so many milliseconds.
hertz=499
# The release build has no frame pointers: the stack itself is kept, and unwound later. The deepest ones of consensus
# are longer than 16 KiB.
stack_bytes=24576
# Where perf is kept from running for as long as this lasts, samples are lost; who is not root may not lock so much.
buffer=()
[ "$(id -u)" -ne 0 ] || buffer=(-m 32M)
# From the driver's start until its load is steady; and what is left of it when the samples are there.
lead_seconds=3
left_seconds=3

seconds=20 workloads=create,get,watch page=
while [ $# -gt 0 ]; do
  case $1 in
    --seconds | --workloads)
      [ $# -ge 2 ] || usage
      case $1 in
        --seconds) seconds=$2 ;;
        --workloads) workloads=$2 ;;
      esac
      shift
      ;;
    -*) usage ;;
    *)
      [ -z "$page" ] && [ -n "$1" ] || usage
      page=$1
      ;;
  esac
  shift
done
number "$seconds" 1 600 || die "--seconds is a number from 1 to 600, not '$seconds'"
[ -n "$workloads" ] || usage
for workload in ${workloads//,/ }; do
  grep -q "^$workload *|" <<< "$catalog" || die "there is no workload '$workload' (create, get, watch)"
done
perf=${PERF:-perf}
command -v "$perf" > /dev/null \
  || die "there is no program $perf: install linux-perf (Debian), linux-tools-generic (Ubuntu) or perf (Fedora)"
"$perf" record -q -e cpu-clock -o /dev/null -- true > /dev/null 2>&1 \
  || die "$perf cannot sample here: be root, or sysctl kernel.perf_event_paranoid=1 (and see that it fits the kernel)"
if [ "$(id -u)" -ne 0 ]; then
  [ "$(cat /proc/sys/kernel/perf_event_paranoid)" -le 1 ] && [ "$(cat /proc/sys/kernel/kptr_restrict)" -eq 0 ] \
    || die "the kernel's part is hidden: be root, or sysctl kernel.perf_event_paranoid=1 kernel.kptr_restrict=0"
fi

members=3
kept=$(mkdir -p "${CARGO_TARGET_DIR:-$root/target}" && cd "${CARGO_TARGET_DIR:-$root/target}" && pwd)
mkdir -p "${page:=$root/docs/performance}"
page=$(cd "$page" && pwd)
directory=${PROFILE_DATA:-$kept/profile}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
check_disk
export VIVARIUM_BIN="${VIVARIUM_BIN:-$kept/release/vivarium}"
[ -x "$VIVARIUM_BIN" ] || (cd "$root" && cargo build --release --locked --bin vivarium) >&2 || die "the build failed"
rm -f "$directory"/*.stacks "$directory"/*.json
# Every session is a file here and one in a member.
ulimit -n "$(ulimit -Hn)"

say() { echo "$(date -u +%T) $*" >&2; }
cluster() { "$here/cluster.sh" "$1" "$members" "$base" "$directory/of-$workload"; }
running_here=()
finish() {
  ended "${running_here[@]}"
  cluster stop || true
  rm -rf "$directory"/of-*/data-* "$directory"/*.data "$directory"/*.data.old
}
base=$(free_base $((14000 + $$ % 40 * 400)) 400 31600)
at_end finish

# awaited PID TEXT: in the background until here, so that an interrupt does not wait for it.
awaited() { wait "$1" || die "$workload: $2 has failed; see $directory/$workload.log"; }

# sampled ROLE MEMBER
sampled() {
  "$perf" record -B -N -e cpu-clock -F "$hertz" --call-graph "dwarf,$stack_bytes" "${buffer[@]}" -o "$directory/$1.data" \
    -p "$(cat "$directory/of-$workload/$2.pid")" -- sleep "$seconds" >> "$directory/$workload.log" 2>&1 < /dev/null &
  running_here+=($!)
}

printf '{"about":"%s","seconds":%s,"hertz":%s}\n' \
  "$(date -u +%F), $(nproc) processors: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1 | tr -d '"\\'), $(uname -sr)" \
  "$seconds" "$hertz" > "$directory/run.json"

for workload in ${workloads//,/ }; do
  read -ra flags <<< "$(sed -n "s/^$workload *| *//p" <<< "$catalog")"
  cluster wipe
  cluster start > "$directory/$workload.log"
  leader=$(cluster leader)
  [ -n "$leader" ] || die "no member leads"
  follower=$((leader % members + 1))
  "$VIVARIUM_BIN" bench "${flags[@]}" --seconds $((lead_seconds + seconds + left_seconds)) --servers "$(cluster hosts)" \
    --pids "$directory/of-$workload" --json - > "$directory/$workload.json" 2>> "$directory/$workload.log" < /dev/null &
  load=$!
  running_here=("$load")
  # Its load lasts from less than a second after its start on.
  sleep "$lead_seconds" &
  wait $!
  sampled leader "$leader"
  sampled follower "$follower"
  for sampler in "${running_here[@]:1}"; do awaited "$sampler" perf; done
  kill -0 "$load" 2>/dev/null || die "$workload: the load ended before the samples; see $directory/$workload.log"
  awaited "$load" "the load"
  running_here=()
  [ "$(cluster leader)" = "$leader" ] || die "$workload: another member leads by now; run it again"
  cluster stop
  for role in leader follower; do
    # Functions inside of others would be looked up one by one, for hours.
    "$perf" script --no-inline -F comm,tid,time,event,ip,sym,dso -i "$directory/$role.data" \
      > "$directory/$workload-$role.stacks" 2>> "$directory/$workload.log" \
      || die "$workload: perf script has failed; see $directory/$workload.log"
    rm -f "$directory/$role.data"
  done
  ! grep -i 'lost' "$directory/$workload.log" >&2 || say "$workload: the processor time of all is too low in the page by what was lost"
  say "$workload: $(grep -c 'cpu-clock:' "$directory/$workload-leader.stacks") samples of the leader (member $leader)," \
    "$(grep -c 'cpu-clock:' "$directory/$workload-follower.stacks") of a follower (member $follower)"
done

if [ -n "${PROFILE_PAGE:-}" ]; then
  "$PROFILE_PAGE" "$directory" "$page" || die "the page could not be made"
else
  (cd "$root" && cargo run --quiet --locked --example profile -- "$directory" "$page") || die "the page could not be made"
fi
say "data: $directory; page: $page/profile.md"
