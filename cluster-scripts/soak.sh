#!/usr/bin/env bash
# Loads three members for long, at half of what they bear, and says whether their memory and open files stay flat.
set -euo pipefail
# shellcheck source=cluster-scripts/ensemble.sh
. "$(dirname "${BASH_SOURCE[0]}")/ensemble.sh"

usage() {
  cat >&2 <<'TEXT'
usage: soak.sh [MINUTES] [DIR]

Starts three fresh members on free ports of this machine, which take snapshots often, and puts `vivarium bench
soak` on them: at first as much as they bear, then half of it. Looks at each member every 10 s; prints the
medians of the first third and of the last, and a verdict.

  MINUTES  (default 30); with an s behind it seconds, at least 10
  DIR      data, logs, samples.jsonl and soak.jsonl (default target/soak); wiped first, left for a look after

Exit status: 0 flat, 12 not flat, else something failed.

  SOAK_CONNECTIONS  connections of the load (default 64)
  VIVARIUM_BIN, VIVARIUM_ZOO_CFG_EXTRA, VIVARIUM_ALLOW_TMPFS  see cluster.sh
  VIVARIUM_STORAGE_SNAPSHOT_ENTRIES  entries of the log from one snapshot to the next (default 5000)
TEXT
  exit 2
}

[ $# -le 2 ] || usage
kept=$(mkdir -p "${CARGO_TARGET_DIR:-$root/target}" && cd "${CARGO_TARGET_DIR:-$root/target}" && pwd)
time=${1:-30} directory=${2:-$kept/soak}
case $time in
  *s) number "${time%s}" 10 86400 || usage; seconds=${time%s} ;;
  *) number "$time" 1 1440 || usage; seconds=$((time * 60)) ;;
esac
# Ten looks and more, also at a short run.
every=$((seconds < 120 ? 1 : 10))
export VIVARIUM_STORAGE_SNAPSHOT_ENTRIES="${VIVARIUM_STORAGE_SNAPSHOT_ENTRIES:-$((seconds < 120 ? 1000 : 5000))}"
export VIVARIUM_BIN="${VIVARIUM_BIN:-$kept/release/vivarium}"
[ -x "$VIVARIUM_BIN" ] || (cd "$root" && cargo build --release --locked --bin vivarium) >&2 || die "the build failed"
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
members=3
base=$(free_base $((13700 + $$ % 40 * 400)) 400 31700)

cluster() { "$here/cluster.sh" "$1" "$members" "$base" "$directory"; }

load=
finish() {
  # shellcheck disable=SC2086  # none, or one
  ended $load
  cluster stop || true
}
at_end finish

cluster wipe
cluster start > "$directory/started"
# In the background, so that an interrupt does not wait for it.
"$VIVARIUM_BIN" bench soak --servers "$(cluster hosts)" --pids "$directory" --seconds "$seconds" \
  --warm-up "$every" --sample-seconds "$every" --samples "$directory/samples.jsonl" --json "$directory/soak.jsonl" \
  -c "${SOAK_CONNECTIONS:-64}" < /dev/null &
load=$!
status=0
wait "$load" || status=$?
load=
taken() { said $((base + 300 + $1)) 'GET /metrics HTTP/1.0\r\n\r\n' | sed -n 's/^vivarium_snapshot_duration_seconds_count //p' | tr -d '\r'; }
echo "Snapshots taken: $(for i in $(seq "$members"); do echo "$i: $(taken "$i")"; done | paste -sd, | sed 's/,/, /g')"
exit "$status"
