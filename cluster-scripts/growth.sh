#!/usr/bin/env bash
# Measures what an operation costs as there are more znodes, connections, watches and sessions, and makes a page of it.
set -euo pipefail
# shellcheck source=cluster-scripts/ensemble.sh
. "$(dirname "${BASH_SOURCE[0]}")/ensemble.sh"

usage() {
  cat >&2 <<'TEXT'
usage: growth.sh [--quick] [DIR]

Starts fresh members on this machine, a lone one and three, drives them with `vivarium bench` at each scale
(10 k to 5 M znodes, 1 to 1,000 connections, 1 to 100,000 watches, 100 to 10,000 sessions), and writes tables and
plots. Takes long, and some GiB of disk and memory. Everything that was started is ended, also on an
interrupt.

  --quick  small scales and a second each: to see whether it works
  DIR      growth.md and its pictures (default docs/performance; with --quick target/growth/page)

target/growth (or GROWTH_DATA) gets results.jsonl, a line for each run, from which `cargo run --example growth -- results.jsonl DIR`
makes the page again; and the logs of all members.

  VIVARIUM_BIN          the program (default: target/release/vivarium, built if it is missing)
  GROWTH_MEMBERS        sizes of the ensembles, separated by blanks (default "1 3")
  GROWTH_PAGE           the program that makes the page (default: the example, run by cargo)
  VIVARIUM_ALLOW_TMPFS  see cluster.sh
TEXT
  exit 2
}

quick=
if [ "${1:-}" = --quick ]; then
  quick=1
  shift
fi
[ $# -le 1 ] && [[ ${1:-} != -* ]] || usage
kept=$(mkdir -p "${CARGO_TARGET_DIR:-$root/target}" && cd "${CARGO_TARGET_DIR:-$root/target}" && pwd)
page=${1:-$([ -n "$quick" ] && echo "$kept/growth/page" || echo "$root/docs/performance")}
directory=${GROWTH_DATA:-$kept/growth}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
export VIVARIUM_BIN="${VIVARIUM_BIN:-$kept/release/vivarium}"
[ -x "$VIVARIUM_BIN" ] || (cd "$root" && cargo build --release --locked --bin vivarium) >&2 || die "the build failed"
# Loading takes longer than a start by far; a start with millions of znodes does too.
export VIVARIUM_READY_SECONDS="${VIVARIUM_READY_SECONDS:-600}"
results=$directory/results.jsonl
: > "$results"
# Every session is a file here and one in a member.
ulimit -n "$(ulimit -Hn)"

if [ -n "$quick" ]; then
  seconds=1 longest=1 znodes='1000 10000' connections='1 10 50' watches='1 100 2000' sessions='100 1000'
else
  seconds=5 longest=120 znodes='10000 100000 1000000 5000000' connections='1 10 100 1000'
  watches='1 10 100 1000 10000 100000' sessions='100 1000 10000'
fi

members='' load=
base=$(free_base $((13800 + $$ % 40 * 400)) 400 31800)
say() { echo "$(date -u +%T) $*" >&2; }
cluster() { "$here/cluster.sh" "$1" "$members" "$base" "$directory/of-$members"; }
finish() {
  # shellcheck disable=SC2086  # none, or one
  ended $load
  [ -z "$members" ] || cluster stop || true
  rm -rf "$directory"/of-*/data-*
}
at_end finish

# fresh: members that have nothing.
fresh() { cluster wipe && cluster start > "$directory/started"; }

# measure SUBJECT SCALE FLAG...: in the background, so that an interrupt does not wait for it.
measure() {
  local label=$1=$2 system="$members members" status=0
  [ "$members" -gt 1 ] || system='1 member'
  shift 2
  "$VIVARIUM_BIN" bench "$@" --seconds "$seconds" --warm-up 1 --servers "$(cluster hosts)" \
    --pids "$directory/of-$members" --system "$system" --label "$label" --session-timeout-ms 30000 --json - \
    > "$directory/line" 2>> "$directory/bench.log" < /dev/null &
  load=$!
  wait "$load" || status=$?
  load=
  [ "$status" -eq 0 ] || die "$label has failed ($status); see $directory/bench.log"
  cat "$directory/line" >> "$results"
  say "$system, $label: $1"
}

for members in ${GROWTH_MEMBERS:-1 3}; do
  for scale in $znodes; do
    fresh
    measure znodes "$scale" nodes --keys "$scale" -c 4 -p 64 --keep
    measure znodes "$scale" create -c 16 -p 8 --keep
    fresh
    # So many sets that two checkpoints of each member fall due in their time: what a set leaves to them is its own cost.
    seconds=$longest measure znodes "$scale" get,set --operations 1000000 --keys "$scale" -c 16 -p 8 --keep
  done
  fresh
  for scale in $connections; do
    measure connections "$scale" create,set,get -c "$scale" -p 1
  done
  for scale in $watches; do
    fresh
    measure watches "$scale" watches --keys "$scale" -c 16 -p 8 --keep
  done
  for scale in $sessions; do
    fresh
    measure sessions "$scale" sessions -c "$scale"
  done
  cluster stop
done
rm -f "$directory/line" "$directory/started"

if [ -n "${GROWTH_PAGE:-}" ]; then
  "$GROWTH_PAGE" "$results" "$page"
else
  (cd "$root" && cargo run --quiet --locked --example growth -- "$results" "$page") || die "the page could not be made"
fi
say "results: $results; page: $page/growth.md"
