#!/usr/bin/env bash
# Runs tests of real members that failed once more, each by itself.
set -euo pipefail

usage() {
  cat >&2 <<'TEXT'
usage: run-again.sh FILE

FILE is what `cargo test --no-fail-fast` has printed. A cluster of processes, on a machine that others use too, is now
and then silent for longer than its leader or a session may be, and so are members of one process (raft::tests of the
library): up to 3 tests of such clusters that failed are run once more, and named. Succeeds if all of them pass. Fails at
once if more than 3 have failed, or anything without members that take real time: that is judged by its first run.
TEXT
  exit 2
}

case ${1:-} in ''|-h|--help) usage ;; esac

programs="native cluster clients"
tests_max=3

# Each failed test as "PROGRAM NAME"; "? ?" for what failed without naming one.
mapfile -t failed < <(awk '
  $1 == "Running" || $1 == "Doc-tests" {
    program = $NF
    gsub(/.*\//, "", program)
    sub(/-[0-9a-f]+\)$/, "", program)
    listed = 0
  }
  /^failures:$/ { listed = 1 }
  listed && /^    [a-z0-9_:]+$/ { tests[program " " $1] = 1 }
  /^test result: FAILED/ { failures[program] = $6 }
  /^error/ && !/target.? failed/ && !/rerun pass/ { print "? ?" }
  END {
    for (test in tests) { print test; split(test, words, " "); failures[words[1]]-- }
    for (program in failures) if (failures[program] != 0) print "? ?"
  }
' "$1")

if [ ${#failed[@]} -eq 0 ] || [ ${#failed[@]} -gt "$tests_max" ]; then exit 1; fi
# where TEST: where cargo finds it, if it may be run again.
where() {
  local program=${1% *} name=${1#* }
  if [[ " $programs " == *" $program "* ]]; then
    echo "--test $program"
  elif [[ $program == vivarium && $name == raft::tests::* ]]; then
    echo --lib
  else
    return 1
  fi
}
for test in "${failed[@]}"; do where "$test" > /dev/null || exit 1; done
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for test in "${failed[@]}"; do
  echo "run-again.sh: $test"
  status=0
  # shellcheck disable=SC2046  # one word or two
  "${CARGO:-cargo}" test --locked $(where "$test") -- --exact "${test#* }" 2>&1 | tee "$output" || status=$?
  if [ "$status" -ne 0 ] || ! grep -q '^test result: ok. 1 passed' "$output"; then exit 1; fi
done
for test in "${failed[@]}"; do echo "run-again.sh: passed when it was run again: $test"; done
