#!/usr/bin/env bash
# Puts the same load on ZooKeeper, etcd and vivarium, three servers each, in turn, and prints the ratios.
set -euo pipefail
# shellcheck source=cluster-scripts/ensemble.sh
. "$(dirname "${BASH_SOURCE[0]}")/ensemble.sh"

usage() {
  cat >&2 <<'TEXT'
usage: compare.sh [OPTION...]

Starts three servers of each system on this machine, drives all of them with `vivarium bench` in turn (A B C
A B C), and prints Markdown tables: medians of throughput, p50, p99, processor time of all servers for each
operation and the sum of their peaks of memory, each with its ratio to the first system. Every write is on the
disks of a majority before it is acknowledged. ZooKeeper 3.9.5 is fetched by mvn; etcd, from 3.4 on, is left out
where there is none. Everything that was started is ended, also on an interrupt.

  --quick            two seconds and one run each, and less of everything
  --runs N           runs of each workload on each system (default 3; nodes: 1)
  --seconds S        measured in each run (default 5)
  --workloads A,B    of those below (default: all but nodes-1m and snapshot; with --quick: without nodes too)
  --systems A,B      of zookeeper, etcd, vivarium, or NAME=PROGRAM for another vivarium; ratios are to the first
                     (default: zookeeper,etcd,vivarium)
  --dir DIR          results, logs and data, on a real disk (default: a new one in target/compare)
  --keep             leave the data of the servers
  --list             print the workloads with their flags of `vivarium bench`

DIR gets results.jsonl, a line for each run; table.md; about.txt; and the logs of all servers.

  VIVARIUM_BIN          the servers' program (default: target/release/vivarium, built if it is missing)
  BENCH_BIN             the driver's (default: the same)
  ETCD_BIN              the server of etcd (default: etcd)
  ZOOKEEPER_CLASS_PATH  see zookeeper.sh, as for ZOOKEEPER_JVM and JAVA
  VIVARIUM_ALLOW_TMPFS  set: let DIR lie in memory, where nothing is durable
TEXT
  exit 2
}

# Name; most runs; what is done with the servers before (-, restart, wipe); flags; what differs with --quick.
catalog='
create          | 9 | -       | create -c 16 -p 8 |
create-1k       | 9 | -       | create --bytes 1024 -c 16 -p 8 |
create-one      | 9 | -       | create -c 1 -p 1 |
set             | 9 | -       | set -c 16 -p 8 |
create-512      | 9 | -       | create -c 64 -p 8 |
create-1k-512   | 9 | -       | create --bytes 1024 -c 64 -p 8 |
set-512         | 9 | -       | set -c 64 -p 8 |
set-one         | 9 | -       | set -c 1 -p 1 |
get             | 9 | -       | get -c 16 -p 8 |
get-one         | 9 | -       | get -c 1 -p 1 |
get-lin         | 9 | -       | get-lin -c 16 -p 8 |
mixed-90        | 9 | -       | mixed --mix get=90,set=10 -c 16 -p 8 |
mixed-50        | 9 | -       | mixed --mix get=50,set=50 -c 16 -p 8 |
children        | 9 | -       | children --keys 1000 -c 16 -p 2 |
ephemeral-churn | 9 | -       | ephemeral-churn -c 8 |
watch           | 9 | -       | watch -c 301 |
watch-children  | 9 | -       | watch-children -c 101 |
watch-persistent          | 9 | - | watch -c 301 --persistent-watches |
watch-children-persistent | 9 | - | watch-children -c 101 --persistent-watches |
register        | 9 | -       | register -c 1000 --session-timeout-ms 30000 | -c 100
lock-handover   | 9 | -       | lock-handover -c 16 |
sessions        | 9 | restart | sessions -c 10000 | -c 500 --session-timeout-ms 6000
failover        | 9 | -       | failover -c 8 -p 1 --session-timeout-ms 6000 --call-timeout-ms 1000 --seconds 15 | --seconds 6
silence         | 9 | -       | silence -c 8 -p 1 --session-timeout-ms 6000 --call-timeout-ms 1000 --seconds 36 | --seconds 9
rolling         | 9 | -       | rolling -c 8 -p 1 --session-timeout-ms 6000 --call-timeout-ms 1000 |
nodes           | 1 | wipe    | nodes --keys 100000 -c 4 -p 256 | --keys 10000
nodes-1m        | 1 | wipe    | nodes --keys 1000000 -c 4 -p 256 | --keys 100000
snapshot        | 3 | wipe    | snapshot --keys 1000000 -c 4 -p 64 --rate 200 --keep | --keys 100000
'
trimmed() { sed 's/^ *//; s/ *$//' <<< "$1"; }
names() { awk -F'|' 'NF > 4 { gsub(/ /, "", $1); print $1 }' <<< "$catalog"; }

runs='' seconds='' quick='' keep='' workloads='' systems=zookeeper,etcd,vivarium directory=''
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=1 ;;
    --keep) keep=1 ;;
    --list) awk -F'|' 'NF > 4 { print $1 $4 }' <<< "$catalog"; exit ;;
    --runs | --seconds | --workloads | --systems | --dir)
      [ $# -ge 2 ] || usage
      case $1 in
        --runs) runs=$2 ;;
        --seconds) seconds=$2 ;;
        --workloads) workloads=$2 ;;
        --systems) systems=$2 ;;
        --dir) directory=$2 ;;
      esac
      shift
      ;;
    *) usage ;;
  esac
  shift
done
[ -n "$runs" ] || runs=$((quick ? 1 : 3))
[ -n "$seconds" ] || seconds=$((quick ? 2 : 5))
number "$runs" 1 99 || die "--runs is a number from 1 to 99, not '$runs'"
number "$seconds" 1 3600 || die "--seconds is a number from 1 to 3600, not '$seconds'"
if [ -z "$workloads" ]; then
  workloads=$(names | grep -vx "$([ -n "$quick" ] && echo 'nodes.*\|snapshot' || echo 'nodes-1m\|snapshot')" | paste -sd,)
fi
for workload in ${workloads//,/ }; do
  names | grep -qx "$workload" || die "there is no workload '$workload' (--list)"
done

members=3
kept=$(mkdir -p "${CARGO_TARGET_DIR:-$root/target}" && cd "${CARGO_TARGET_DIR:-$root/target}" && pwd)
[ -n "$directory" ] || directory=$kept/compare/$(date -u +%Y-%m-%dT%H-%M-%S)
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
check_disk
export VIVARIUM_BIN="${VIVARIUM_BIN:-$kept/release/vivarium}"
[ -x "$VIVARIUM_BIN" ] || (cd "$root" && cargo build --release --locked --bin vivarium) >&2 || die "the build failed"
driver=${BENCH_BIN:-$VIVARIUM_BIN}
results=$directory/results.jsonl
: > "$results"
# Every session is a file here and one in a server.
ulimit -n "$(ulimit -Hn)"

say() { echo "$(date -u +%T) $*" >&2; }

# What is known of each system, by its name.
declare -A script_of protocol_of program_of base_of
order=()
load=

# control NAME VERB
control() {
  VIVARIUM_BIN=${program_of[$1]} "$here/${script_of[$1]}" "$2" "$members" "${base_of[$1]}" "$directory/$1"
}

finish() {
  local name
  # shellcheck disable=SC2086  # none, or one
  ended $load
  for name in "${order[@]}"; do
    control "$name" stop > /dev/null || true
    [ -n "$keep" ] || rm -rf "${directory:?}/$name/data-"*
  done
}
at_end finish

# Two of these at the same time rarely begin at the same ports.
base=$((13600 + $$ % 40 * 400))
for system in ${systems//,/ }; do
  name=${system%%=*} protocol=zookeeper program=$VIVARIUM_BIN
  case $system in
    zookeeper) script=zookeeper.sh ;;
    vivarium) script=cluster.sh ;;
    etcd)
      script=etcd.sh protocol=etcd
      if ! command -v "${ETCD_BIN:-etcd}" > /dev/null; then
        say "etcd is left out: there is no program ${ETCD_BIN:-etcd}"
        continue
      fi
      ;;
    *=*)
      script=cluster.sh program=${system#*=}
      [ -x "$program" ] || die "$program cannot be executed"
      ;;
    *) die "there is no system '$system'" ;;
  esac
  number "${#name}" 1 40 && [[ $name =~ ^[A-Za-z0-9._-]+$ ]] || die "'$name' is no name for a system"
  [ -z "${script_of[$name]:-}" ] || die "$name is named twice"
  base=$(free_base $((base + 400)) 400 31600)
  script_of[$name]=$script protocol_of[$name]=$protocol program_of[$name]=$program base_of[$name]=$base
  # Before it is started: what an interrupt meets on the way is ended, too.
  order+=("$name")
  say "Starting $name"
  control "$name" start > "$directory/$name.started" || die "$name did not start"
done
script=compare.sh
[ ${#order[@]} -gt 0 ] || die "no system is left"

{
  echo "$(date -u +%FT%TZ), $(nproc) processors ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1))," \
    "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), $(uname -sr)," \
    "$(stat -f -c %T "$directory"), load $(cut -d' ' -f1 /proc/loadavg); $runs runs of $seconds s"
} > "$directory/about.txt"

failures=0
# bench NAME FLAG...: the driver in the background, so that an interrupt does not wait for it.
bench() {
  local name=$1
  shift
  VIVARIUM_BIN=${program_of[$name]} "$driver" bench "$@" --protocol "${protocol_of[$name]}" \
    --servers "$(control "$name" hosts)" --pids "$directory/$name" --json - \
    > "$directory/line" 2>> "$directory/bench.log" < /dev/null &
  load=$!
  local status=0
  wait "$load" || status=$?
  load=
  return "$status"
}

# The servers' just-in-time compilers, and the caches of files.
for name in "${order[@]}"; do
  for workload in mixed create; do
    bench "$name" "$workload" --seconds $((quick ? 1 : 5)) -c 16 -p 8 || say "$name: warming up has failed"
  done
done

for workload in ${workloads//,/ }; do
  IFS='|' read -r _ runs_max before flags less <<< "$(grep "^$workload *|" <<< "$catalog")"
  read -ra flags <<< "$flags"
  [ -z "$quick" ] || read -ra less <<< "$less"
  [ -n "$quick" ] || less=()
  for run in $(seq $((runs < runs_max ? runs : runs_max))); do
    for name in "${order[@]}"; do
      # The others have no command at hand that writes what they restart from: see docs/performance.md.
      [ "$workload" != snapshot ] || [ "${script_of[$name]}" = cluster.sh ] || continue
      action=$(trimmed "$before")
      # What a burst of changes leaves in the memory of etcd 3.4 is copied by every later read (its concurrent
      # read transactions): a run would pay for the clearing of the one before.
      [ "$action${script_of[$name]}" != -etcd.sh ] || action=restart
      case $action in
        restart) control "$name" stop && control "$name" start ;;
        wipe) control "$name" wipe && control "$name" start ;;
      esac > "$directory/$name.started"
      status=0
      bench "$name" --seconds "$seconds" --warm-up 1 --system "$name" --label "$workload" "${flags[@]}" "${less[@]}" \
        || status=$?
      cat "$directory/line" >> "$results"
      if [ "$status" -eq 0 ]; then
        say "$workload $run $name: $(sed -n 's/.*"ops_per_second":\([0-9]*\).*/\1/p' "$directory/line") a second"
      else
        failures=$((failures + 1))
        say "$workload $run $name: has failed ($status); see $directory/bench.log"
      fi
    done
  done
done
rm -f "$directory/line" "$directory"/*.started

cat "$directory/about.txt" > "$directory/table.md"
{ echo; "$driver" bench compare "$results"; } >> "$directory/table.md"
cat "$directory/table.md"
say "results: $directory"
[ "$failures" -eq 0 ] || die "$failures runs have failed"
