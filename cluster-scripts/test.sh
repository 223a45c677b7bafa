#!/usr/bin/env bash
# Runs every test. What the tests need of other languages they fetch themselves, into target/.
set -euo pipefail

usage() {
  cat >&2 <<'TEXT'
usage: test.sh [CARGO TEST ARGUMENTS]

Checks formatting, lints, the scripts' syntax, then runs all tests of the package, and then those of the Java
build in java/. Without arguments: all of them; with any, those of the package alone. The tests with unmodified
clients and the Java build need python3 with venv, a JDK from 17 on, and mvn; what
is missing is installed where apt-get may be used, and named otherwise.
TEXT
  exit 2
}

case ${1:-} in -h|--help) usage ;; esac

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$(dirname "$here")"

missing=()
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
command -v javac > /dev/null || missing+=(openjdk-17-jdk-headless)
command -v mvn > /dev/null || missing+=(maven)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
    apt-get update >&2
    apt-get install -y --no-install-recommends "${missing[@]}" >&2
  else
    echo "test.sh: install ${missing[*]}, then run this again" >&2
    exit 1
  fi
fi

for script in cluster-scripts/*.sh; do bash -n "$script"; done
cargo fmt --all --check
cargo clippy --locked --all-targets -- -D warnings
# The program as it is delivered has no feature of the tests.
cargo clippy --locked --bin vivarium -- -D warnings

# The sum stands at the end, because each test program closes with a line of its own.
mkdir -p target
output=$(mktemp -p target tests.XXXXXX)
trap 'rm -f "$output"' EXIT
status=0
cargo test --locked "$@" 2>&1 | tee "$output" || status=$?
if [ $# -eq 0 ]; then
  # The Java build starts the program that the tests before it were run with, and packs it into its jar.
  VIVARIUM_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug/vivarium \
    mvn --batch-mode --no-transfer-progress --file java/pom.xml verify 2>&1 | tee -a "$output" || status=$?
fi
awk '
  /^test result:/ { passed += $4; failed += $6 }
  # A module closes with such a line, and each of its classes with one that also says how long it took.
  /Tests run: [0-9]+, Failures: [0-9]+/ && !/Time elapsed/ {
    split($0, count, /[:,]/)
    failed += count[4] + count[6]
    passed += count[2] - count[4] - count[6] - count[8]
  }
  END { printf "%d passed, %d failed\n", passed, failed }
' "$output"
exit "$status"
