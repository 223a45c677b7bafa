#!/usr/bin/env bash
# Loads a fresh cluster, kills its leader in the middle, and looks whether what was promised held. Fails if it
# did not.
set -euo pipefail

usage() {
  cat >&2 <<'TEXT'
usage: load-test.sh [SECONDS [N [BASEPORT [DIR]]]]
       load-test.sh registry|lock|ring|task|events [CLIENTS [SECONDS [N [BASEPORT [DIR]]]]]

Without a word, the load are writes by the ZooKeeper protocol; every member is killed at the end, and every
write that was acknowledged is looked for on each. With one, the load comes through the native API, and is
checked by it (`vivarium bench lock`, say); the report is a table with percentiles.

  CLIENTS   each with a session of its own (default 8)
  SECONDS   of load (default 30, at least 6); the leader is killed after a third, and brought back
            after two
  N         members (default 3)
  BASEPORT  see cluster.sh (default 22180)
  DIR       data, logs and the ledger (default target/load-test); wiped first, left for a look after

  VIVARIUM_BIN, VIVARIUM_ZOO_CFG_EXTRA  see cluster.sh
TEXT
  exit 2
}

# shellcheck source=cluster-scripts/ensemble.sh
. "$(dirname "${BASH_SOURCE[0]}")/ensemble.sh"
subject= clients=8
case ${1:-} in
  registry | lock | ring | task | events)
    subject=$1 clients=${2:-8}
    shift $(($# < 2 ? $# : 2))
    ;;
esac
seconds=${1:-30} members=${2:-3} base=${3:-22180} directory=${4:-$root/target/load-test}
[ $# -le 4 ] && [[ $seconds =~ ^[0-9]+$ ]] && [ "$seconds" -ge 6 ] || usage
[[ $clients =~ ^[0-9]+$ ]] && [ "$clients" -ge 1 ] || usage
export VIVARIUM_BIN="${VIVARIUM_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/vivarium}"
[ -x "$VIVARIUM_BIN" ] || (cd "$root" && cargo build --release --locked --bin vivarium)

cluster() { "$here/cluster.sh" "$1" "$members" "$base" "$directory" "${@:2}"; }

load=
finish() {
  # shellcheck disable=SC2086  # none, or one
  ended $load
  cluster stop || true
}
at_end finish

cluster wipe
ledger=$directory/ledger
rm -f "$ledger"
cluster start
hosts=$(cluster hosts)

if [ -n "$subject" ]; then
  endpoints=
  for i in $(seq "$members"); do endpoints+=${endpoints:+,}127.0.0.1:$((base + 200 + i)); done
  "$VIVARIUM_BIN" bench "$subject" --endpoint "$endpoints" --clients "$clients" --seconds "$seconds" &
else
  "$VIVARIUM_BIN" bench create --servers "$hosts" --seconds "$seconds" --connections 16 --in-flight 16 \
    --ledger "$ledger" --json "$directory/load.jsonl" &
fi
load=$!
sleep $((seconds / 3))
[ "$members" -eq 1 ] || cluster kill-leader
sleep $((seconds / 3))
cluster start
wait "$load" || die "the load has failed; everything is kept in $directory"
load=
if [ -n "$subject" ]; then
  echo "PASSED: what $subject promises held"
  exit
fi

echo "Killing every member, and starting them again"
for i in $(seq "$members"); do cluster kill "$i"; done
cluster start

for host in ${hosts//,/ }; do
  echo "Asking $host"
  "$VIVARIUM_BIN" bench verify --servers "$host" --ledger "$ledger" || die "FAILED on $host; everything is kept in $directory"
done
echo "PASSED: no acknowledged write is missing on any member"
