#!/usr/bin/env bash
# Runs a cluster of N etcd servers on this machine, to be measured beside ours.
set -euo pipefail
# shellcheck source=cluster-scripts/ensemble.sh
. "$(dirname "${BASH_SOURCE[0]}")/ensemble.sh"

usage() {
  cat >&2 <<'TEXT'
usage: etcd.sh VERB N BASEPORT DIR [I]

The verbs and files are those of cluster.sh. Server I serves clients on 127.0.0.1:BASEPORT+I and peers on +100.
Settings are etcd's defaults, but for a quota of 8 GiB, compaction by the hour, and a log of warnings only.

  ETCD_BIN  the server, from version 3.4 on (default: etcd)
TEXT
  exit 2
}

etcd=${ETCD_BIN:-etcd}

check() { command -v "$etcd" > /dev/null || die "$etcd is missing: set ETCD_BIN"; }

mark() { echo "--data-dir $directory/data-$1 "; }

launch() {
  local i=$1 k list=()
  for k in $(seq "$members"); do list+=("m$k=http://127.0.0.1:$((base + 100 + k))"); done
  spawn "$i" "$etcd" --name "m$i" --data-dir "$directory/data-$i" --initial-cluster-token vivarium-compare \
    --listen-client-urls "http://127.0.0.1:$((base + i))" --advertise-client-urls "http://127.0.0.1:$((base + i))" \
    --listen-peer-urls "http://127.0.0.1:$((base + 100 + i))" \
    --initial-advertise-peer-urls "http://127.0.0.1:$((base + 100 + i))" \
    --initial-cluster "$(IFS=,; echo "${list[*]}")" --initial-cluster-state new \
    --quota-backend-bytes 8589934592 --auto-compaction-mode periodic --auto-compaction-retention 1h \
    --logger zap --log-outputs stderr --log-level warn
}

# mode I: the status names the leader and the one who says it.
mode() {
  local port=$((base + $1)) status
  [[ $(said "$port" 'GET /health HTTP/1.0\r\n\r\n') == *'"health":"true"'* ]] || return 0
  status=$(said "$port" \
    'POST /v3/maintenance/status HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}')
  [[ $status =~ \"member_id\":\"([0-9]+)\" ]] || return 0
  if [[ $status == *"\"leader\":\"${BASH_REMATCH[1]}\""* ]]; then echo leader; else echo follower; fi
}

ensemble "$@"
