# Sourced by the scripts that run an ensemble on this machine: the verbs they share. Each of them says with
#   usage             how it is called
#   check             fails where the program is missing
#   launch I          starts member I in the background
#   mark I            what the command line of member I has and no other process's
#   take_snapshot I   has member I take one, and waits; not there where servers are not asked for it
#   mode I            leader, standalone or follower; nothing if it does not serve
# and then calls `ensemble "$@"`.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
script=$(basename "$0")

die() { echo "$script: $*" >&2; exit 1; }
now_ms() { date +%s%3N; }
number() { [[ $1 =~ ^[0-9]+$ ]] && [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]; }

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_base FIRST STEP LAST: the first base from which on an ensemble of three finds all its ports free.
free_base() {
  local base offset i
  for base in $(seq "$1" "$2" "$3"); do
    for offset in 0 100 200 300; do
      for i in 1 2 3; do is_free $((base + offset + i)) || continue 3; done
    done
    echo "$base"
    return
  done
  die "no free ports found from $1 to $3"
}

# at_end COMMAND: run once, however the script ends. A process that the shell has forked has its traps until it is what
# it was forked for, and a signal that comes before then must not have it tidy as well.
at_end() {
  # shellcheck disable=SC2064  # the command is known by now
  trap "[ \"\$BASHPID\" -ne $$ ] || { trap '' INT TERM; $1; }" EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# ended PID...: ends these. They are signalled until they are gone, since a signal is lost on one that is about to
# become another program; what is still there after ten seconds is killed.
ended_tries_max=200
ended() {
  local tries
  [ $# -gt 0 ] || return 0
  for tries in $(seq "$ended_tries_max"); do
    kill "$@" 2>/dev/null || return 0
    sleep 0.05
  done
  kill -KILL "$@" 2>/dev/null || true
}

# Where an fsync costs nothing, neither times nor durability mean anything.
check_disk() {
  case $(stat -f -c %T "$directory" 2>/dev/null) in
    tmpfs|ramfs) [ -n "${VIVARIUM_ALLOW_TMPFS:-}" ] || die "$directory lies in memory (VIVARIUM_ALLOW_TMPFS=1 to go on)" ;;
  esac
}

pid_file() { echo "$directory/$1.pid"; }

# running I: prints the process id if it is this member's. A number that the system has given to
# another process since is not.
running() {
  local pid
  pid=$(cat "$(pid_file "$1")" 2>/dev/null) || return 1
  [[ $(ps -ww -o args= -p "$pid" 2>/dev/null) == *"$(mark "$1")"* ]] || return 1
  echo "$pid"
}

# spawn I COMMAND...: in a session of its own, so that an interrupt of the terminal does not reach it.
spawn() {
  local i=$1
  shift
  setsid "$@" >> "$directory/$i.log" 2>&1 < /dev/null &
  echo $! > "$(pid_file "$i")"
}

# said PORT TEXT [SECONDS]: sends it and prints what comes back until the connection is closed, or for so long (3).
said() {
  # The inner bash keeps a refusal quiet.
  # shellcheck disable=SC2016  # $0 and $1 are the inner bash's
  timeout "${3:-3}" bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "%b" "$1" >&3 && cat <&3' "$1" "$2" 2>/dev/null || true
}

# zookeeper_mode I: what the word srvr says the member is.
zookeeper_mode() { sed -n 's/^Mode: //p' <<< "$(said $((base + $1)) srvr)"; }

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

# has_ended PID: one that dies loses its arguments with its memory, which may take seconds, and only then its ports.
has_ended() {
  local state
  state=$(ps -o stat= -p "$1" 2>/dev/null) || return 0
  [[ $state == Z* ]]
}

# end I SIGNAL: waits until it is gone.
end() {
  local i=$1 pid tries
  if pid=$(running "$i"); then
    kill "-$2" "$pid" 2>/dev/null || true
    # One that stands still hears of it when it goes on.
    kill -CONT "$pid" 2>/dev/null || true
    for tries in $(seq 400); do
      ! has_ended "$pid" || break
      [ "$tries" -ne 100 ] || kill -KILL "$pid" 2>/dev/null || true
      sleep 0.1
    done
  fi
  rm -f "$(pid_file "$i")"
}

# pause I: its process stands still; whoever has a connection to it hears nothing.
pause() {
  local pid
  pid=$(running "$1") || die "member $1 does not run"
  kill -STOP "$pid"
  echo "PAUSED=$1"
}

# launch_or_go_on I
launch_or_go_on() {
  local pid
  if pid=$(running "$1"); then kill -CONT "$pid"; else launch "$1"; fi
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
    "$here/$script" "$members" "$base" "$directory" > "$directory/ctl"
  chmod +x "$directory/ctl"
}

# ensemble VERB N BASEPORT DIR [I]
ensemble() {
  [ $# -ge 4 ] && [ $# -le 5 ] || usage
  verb=$1 members=$2 base=$3 directory=$4 chosen=${5:-}
  number "$members" 1 99 || die "N is a number from 1 to 99, not '$members'"
  number "$base" 1024 65000 || die "BASEPORT is a number from 1024 to 65000, not '$base'"
  mkdir -p "$directory"
  directory=$(cd "$directory" && pwd)
  local i begun
  case $verb in
    start)
      check_disk
      check
      begun=$(now_ms)
      for i in $(seq "$members"); do launch_or_go_on "$i"; done
      write_ctl
      for i in $(seq "$members"); do wait_until_serving "$i"; done
      echo "READY_MS=$(($(now_ms) - begun))"
      echo "HOSTS=$(hosts)"
      echo "PIDS=$(pids)"
      ;;
    stop)
      [ -z "$chosen" ] || number "$chosen" 1 "$members" || die "stop takes a member's number, 1 to $members"
      for i in ${chosen:-$(seq "$members")}; do end "$i" TERM; done
      ;;
    snapshot)
      declare -F take_snapshot > /dev/null || die "these servers are not asked for snapshots"
      local asked=()
      for i in $(seq "$members"); do
        take_snapshot "$i" &
        asked+=($!)
      done
      for i in "${!asked[@]}"; do wait "${asked[$i]}" || die "member $((i + 1)) took no snapshot"; done
      ;;
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
    pause-leader)
      chosen=$(leader)
      [ -n "$chosen" ] || die "no member leads"
      pause "$chosen"
      ;;
    kill)
      number "$chosen" 1 "$members" || die "kill takes a member's number, 1 to $members"
      kill_at_once "$chosen"
      ;;
    pids) pids ;;
    hosts) hosts ;;
    *) usage ;;
  esac
}
