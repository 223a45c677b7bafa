#!/usr/bin/env bash
# Builds vivarium, starts three members on this machine, and shows what they bear.
set -euo pipefail

usage() {
  cat >&2 <<'TEXT'
usage: quickstart.sh [start|stop|wipe]

  start  (default) build, start three members in .cluster/, run a short load, say where to connect
  stop   end the members; the data stay
  wipe   end the members and delete their data

  VIVARIUM_QUICKSTART_SECONDS  seconds for each part of the load (default 2)
TEXT
  exit 2
}

# shellcheck source=cluster-scripts/ensemble.sh
. "$(dirname "${BASH_SOURCE[0]}")/ensemble.sh"
directory=$root/.cluster
seconds=${VIVARIUM_QUICKSTART_SECONDS:-2}
members=3

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# The ports are those of the cluster that is there, if one is.
base_of_cluster() {
  if [ -s "$directory/base" ]; then cat "$directory/base"; else free_base 2180 1000 32180; fi
}

case ${1:-start} in
  start) ;;
  stop) [ ! -x "$directory/ctl" ] || "$directory/ctl" stop; exit ;;
  wipe)
    [ ! -x "$directory/ctl" ] || "$directory/ctl" wipe
    rm -rf "$directory"
    exit
    ;;
  *) usage ;;
esac

say "Building (the first time takes a few minutes)"
(cd "$root" && cargo build --release --locked --bin vivarium)
export VIVARIUM_BIN="${CARGO_TARGET_DIR:-$root/target}/release/vivarium"

mkdir -p "$directory"
base=$(base_of_cluster)
echo "$base" > "$directory/base"
say "Starting three members"
"$here/cluster.sh" start "$members" "$base" "$directory"
hosts=$("$directory/ctl" hosts)

say "A short load: $seconds seconds each"
"$VIVARIUM_BIN" bench create,set,get,mixed,watch --servers "$hosts" --seconds "$seconds"

each() { seq -f '127.0.0.1:%.0f' -s , $((base + $1 + 1)) $((base + $1 + members)); }
say "Three members serve; member $("$directory/ctl" leader) leads"
cat <<TEXT
  ZooKeeper clients   $hosts
  gRPC                $(each 200)
  health, metrics     $(each 300)
  data and logs       .cluster/
  stop                cluster-scripts/quickstart.sh stop   (wipe: and delete the data)
TEXT
