#!/usr/bin/env bash
# Runs a cluster of N members on this machine; each is a process of its own with its data below DIR.
set -euo pipefail
# shellcheck source=cluster-scripts/ensemble.sh
. "$(dirname "${BASH_SOURCE[0]}")/ensemble.sh"

usage() {
  cat >&2 <<'TEXT'
usage: cluster.sh VERB N BASEPORT DIR [I]

  start        start every member that does not run, wait until each serves;
               prints READY_MS=, HOSTS= and PIDS=
  stop         end every member, or member I (TERM, then KILL after ten seconds)
  snapshot     have every member take a snapshot, all at once, and wait for them
  kill-leader  end the leader at once (KILL); prints KILLED=I; `start` brings it back
  pause-leader have the leader's process stand still (STOP); prints PAUSED=I; `start` has it go on
  kill         end member I at once (KILL); prints KILLED=I
  leader       print the leader's number; nothing if there is none
  pids         print the process ids, separated by commas
  hosts        print the ZooKeeper addresses, separated by commas
  wipe         stop, and delete the data and the logs below DIR

Member I serves ZooKeeper clients on 127.0.0.1:BASEPORT+I, peers on +100, gRPC on +200 and
health and metrics on +300. DIR gets I.pid, I.log, data-I/ and ctl (`DIR/ctl VERB [I]`).

  VIVARIUM_BIN            the program (default: target/release/vivarium, built if it is missing)
  VIVARIUM_ZOO_CFG_EXTRA  more lines for each member's zoo.cfg
  VIVARIUM_READY_SECONDS  how long `start` waits for a member (default 60)
  VIVARIUM_ALLOW_TMPFS    set: let DIR lie in memory, where nothing is durable
TEXT
  exit 2
}

check() {
  binary=${VIVARIUM_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/vivarium}
  if [ -n "${VIVARIUM_BIN:-}" ]; then
    [ -x "$binary" ] || die "VIVARIUM_BIN=$VIVARIUM_BIN cannot be executed"
  elif [ ! -x "$binary" ]; then
    (cd "$root" && cargo build --release --locked --bin vivarium) >&2 || die "the build failed"
  fi
}

mark() { echo "--data-dir $directory/data-$1/state "; }

launch() {
  local i=$1 home="$directory/data-$1" list=() k
  mkdir -p "$home"
  {
    echo "tickTime=2000"
    echo "maxClientCnxns=0"
    echo "4lw.commands.whitelist=*"
    # Whoever measures snapshots takes one after another.
    echo "admin.rateLimiterIntervalInMS=0"
    [ -z "${VIVARIUM_ZOO_CFG_EXTRA:-}" ] || printf '%s\n' "$VIVARIUM_ZOO_CFG_EXTRA"
  } > "$home/zoo.cfg"
  for k in $(seq "$members"); do
    list+=(--member "$k=127.0.0.1:$((base + k)):$((base + 100 + k)):$((base + 200 + k)):$((base + 300 + k))")
  done
  spawn "$i" "$binary" server --data-dir "$home/state" --id "$i" --zoo-cfg "$home/zoo.cfg" "${list[@]}"
}

# Whoever proves anything may have one; nobody has changed the root's access list.
take_snapshot() {
  local request='GET /commands/snapshot?streaming=false HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n'
  [[ $(said $((base + 300 + $1)) "${request}Authorization: digest cluster:cluster\r\n\r\n" 600) == "HTTP/1.1 200 "* ]]
}

mode() { zookeeper_mode "$1"; }

ensemble "$@"
