#!/usr/bin/env bash
# Runs tests of processes that failed once more, each by itself.
set -euo pipefail

usage() {
  cat >&2 <<'TEXT'
usage: run-again.sh FILE

FILE is what `cargo test --no-fail-fast` has printed. A cluster of processes, on a machine that others use too, is now
and then silent for longer than its leader or a session may be: up to 3 tests of such clusters that failed are run once
more, and named. Succeeds if all of them pass. Fails at once if more than 3 have failed, or anything without processes:
that is judged by its first run.
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
for test in "${failed[@]}"; do
  program=${test% *}
  if [[ " $programs " != *" $program "* ]]; then exit 1; fi
done
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for test in "${failed[@]}"; do
  echo "run-again.sh: $test"
  status=0
  "${CARGO:-cargo}" test --locked --test "${test% *}" -- --exact "${test#* }" 2>&1 | tee "$output" || status=$?
  if [ "$status" -ne 0 ] || ! grep -q '^test result: ok. 1 passed' "$output"; then exit 1; fi
done
for test in "${failed[@]}"; do echo "run-again.sh: passed when it was run again: $test"; done
