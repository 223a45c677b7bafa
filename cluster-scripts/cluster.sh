#!/usr/bin/env bash
# Runs a cluster of N members on this machine; each is a process of its own with its data below DIR.
set -euo pipefail

usage() {
  cat >&2 <<'TEXT'
usage: cluster.sh VERB N BASEPORT DIR [I]

  start        start every member that does not run, wait until each serves;
               prints READY_MS=, HOSTS= and PIDS=
  stop         end every member (TERM, then KILL after ten seconds)
  kill-leader  end the leader at once (KILL); prints KILLED=I; `start` brings it back
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

die() { echo "cluster.sh: $*" >&2; exit 1; }
now_ms() { date +%s%3N; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

number() { [[ $1 =~ ^[0-9]+$ ]] && [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]; }

[ $# -ge 4 ] && [ $# -le 5 ] || usage
verb=$1 members=$2 base=$3 directory=$4 chosen=${5:-}
number "$members" 1 99 || die "N is a number from 1 to 99, not '$members'"
number "$base" 1024 65000 || die "BASEPORT is a number from 1024 to 65000, not '$base'"
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

pid_file() { echo "$directory/$1.pid"; }

# running I: prints the process id if it is this member's. A number that the system has given to
# another process since is not.
running() {
  local pid
  pid=$(cat "$(pid_file "$1")" 2>/dev/null) || return 1
  [[ $(ps -ww -o args= -p "$pid" 2>/dev/null) == *"--data-dir $directory/data-$1/state "* ]] || return 1
  echo "$pid"
}

program() {
  if [ -n "${VIVARIUM_BIN:-}" ]; then
    [ -x "$VIVARIUM_BIN" ] || die "VIVARIUM_BIN=$VIVARIUM_BIN cannot be executed"
    echo "$VIVARIUM_BIN"
    return
  fi
  local built="${CARGO_TARGET_DIR:-$root/target}/release/vivarium"
  [ -x "$built" ] || (cd "$root" && cargo build --release --locked --bin vivarium) >&2 || die "the build failed"
  echo "$built"
}

# Where an fsync costs nothing, neither times nor durability mean anything.
check_disk() {
  case $(stat -f -c %T "$directory" 2>/dev/null) in
    tmpfs|ramfs) [ -n "${VIVARIUM_ALLOW_TMPFS:-}" ] || die "$directory lies in memory (VIVARIUM_ALLOW_TMPFS=1 to go on)" ;;
  esac
}

launch() {
  local i=$1 home="$directory/data-$1" list=() k
  mkdir -p "$home"
  {
    echo "tickTime=2000"
    echo "maxClientCnxns=0"
    echo "4lw.commands.whitelist=*"
    [ -z "${VIVARIUM_ZOO_CFG_EXTRA:-}" ] || printf '%s\n' "$VIVARIUM_ZOO_CFG_EXTRA"
  } > "$home/zoo.cfg"
  for k in $(seq "$members"); do
    list+=(--member "$k=127.0.0.1:$((base + k)):$((base + 100 + k)):$((base + 200 + k)):$((base + 300 + k))")
  done
  # A session of its own, so that an interrupt of the terminal does not reach it.
  setsid "$binary" server --data-dir "$home/state" --id "$i" --zoo-cfg "$home/zoo.cfg" "${list[@]}" \
    >> "$directory/$i.log" 2>&1 < /dev/null &
  echo $! > "$(pid_file "$i")"
}

# mode I: what the word srvr says the member is; nothing if it does not answer.
mode() {
  # The word is answered and the connection closed; the inner bash keeps a refusal quiet.
  local answer
  # shellcheck disable=SC2016  # $0 is the inner bash's: the port
  answer=$(timeout 3 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf srvr >&3 && cat <&3' "$((base + $1))" 2>/dev/null) || true
  sed -n 's/^Mode: //p' <<< "$answer"
}

serves() { [[ $(mode "$1") =~ ^(leader|follower|standalone)$ ]]; }

leader() {
  local i
  for i in $(seq "$members"); do
    if [[ $(mode "$i") =~ ^(leader|standalone)$ ]]; then echo "$i"; return; fi
  done
}

wait_until_serving() {
  local i=$1 give_up
  give_up=$(($(now_ms) + ${VIVARIUM_READY_SECONDS:-60} * 1000))
  until serves "$i"; do
    if ! running "$i" > /dev/null; then
      tail -n 20 "$directory/$i.log" >&2
      die "member $i has ended; see $directory/$i.log"
    fi
    [ "$(now_ms)" -lt "$give_up" ] || die "member $i does not serve; see $directory/$i.log"
    sleep 0.05
  done
}

# end I SIGNAL: waits until it is gone.
end() {
  local i=$1 pid tries
  if pid=$(running "$i"); then
    kill "-$2" "$pid" 2>/dev/null || true
    for tries in $(seq 100); do
      running "$i" > /dev/null || break
      [ "$tries" -lt 100 ] || kill -KILL "$pid" 2>/dev/null || true
      sleep 0.1
    done
  fi
  rm -f "$(pid_file "$i")"
}

kill_at_once() {
  running "$1" > /dev/null || die "member $1 does not run"
  end "$1" KILL
  echo "KILLED=$1"
}

hosts() { seq -f '127.0.0.1:%.0f' -s , $((base + 1)) $((base + members)); }

pids() {
  local i pid list=()
  for i in $(seq "$members"); do
    if pid=$(running "$i"); then list+=("$pid"); fi
  done
  (IFS=,; echo "${list[*]-}")
}

write_ctl() {
  # shellcheck disable=SC2016  # the variables are those of the script that is written
  printf '#!/usr/bin/env bash\nverb=$1; shift\nexec %q "$verb" %q %q %q "$@"\n' \
    "$here/cluster.sh" "$members" "$base" "$directory" > "$directory/ctl"
  chmod +x "$directory/ctl"
}

case $verb in
  start)
    check_disk
    binary=$(program)
    begun=$(now_ms)
    for i in $(seq "$members"); do running "$i" > /dev/null || launch "$i"; done
    write_ctl
    for i in $(seq "$members"); do wait_until_serving "$i"; done
    echo "READY_MS=$(($(now_ms) - begun))"
    echo "HOSTS=$(hosts)"
    echo "PIDS=$(pids)"
    ;;
  stop) for i in $(seq "$members"); do end "$i" TERM; done ;;
  wipe)
    for i in $(seq "$members"); do end "$i" TERM; done
    for i in $(seq "$members"); do rm -rf "${directory:?}/data-$i" "$directory/$i.log"; done
    ;;
  leader) leader ;;
  kill-leader)
    chosen=$(leader)
    [ -n "$chosen" ] || die "no member leads"
    kill_at_once "$chosen"
    ;;
  kill)
    number "$chosen" 1 "$members" || die "kill takes a member's number, 1 to $members"
    kill_at_once "$chosen"
    ;;
  pids) pids ;;
  hosts) hosts ;;
  *) usage ;;
esac
