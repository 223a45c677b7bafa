#!/usr/bin/env bash
# Runs every test. What the tests need of other languages they fetch themselves, into target/.
set -euo pipefail

usage() {
  cat >&2 <<'TEXT'
usage: test.sh [CARGO TEST ARGUMENTS]

Checks formatting, lints, the scripts' syntax, then runs all tests of the package, and then those of the Java
build in java/. Without arguments: all of them; with any, those of the package alone. The tests with unmodified
clients and the Java build need python3 with venv, a JDK from 17 on, mvn, and MariaDB; what
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
# A registry that a host of the Java build comes from.
command -v mariadbd > /dev/null || missing+=(mariadb-server)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
    apt-get update >&2
    apt-get install -y --no-install-recommends "${missing[@]}" >&2
  else
    echo "test.sh: install ${missing[*]}, then run this again" >&2
    exit 1
  fi
fi

# Members refuse what makes their state grow when a disk has less than 256 MiB left, which many tests would tell of in
# words of their own.
free_gib_min=4
mkdir -p target
free_gib=$(df -Pk target | awk 'NR == 2 { print int($4 / 1048576) }')
if [ "$free_gib" -lt "$free_gib_min" ]; then
  echo "test.sh: $free_gib GiB are free where target/ is; a build and its tests take 12 at first, and 4 later" >&2
  exit 1
fi

for script in cluster-scripts/*.sh; do bash -n "$script"; done
cargo fmt --all --check
cargo clippy --locked --all-targets -- -D warnings
# The program as it is delivered has no feature of the tests.
cargo clippy --locked --bin vivarium -- -D warnings

cargo test --locked --package base2histogram

# The sum stands at the end, because each test program closes with a line of its own.
output=$(mktemp -p target tests.XXXXXX)
again=$(mktemp -p target again.XXXXXX)
trap 'rm -f "$output" "$again"' EXIT
status=0
cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$output" || status=$?
repaired=0
if [ "$status" -ne 0 ] && cluster-scripts/run-again.sh "$output" 2>&1 | tee "$again"; then
  status=0
  # Counted as failed above; each passed since.
  repaired=$(grep -c '^run-again.sh: passed' "$again")
fi
if [ $# -eq 0 ]; then
  # The Java build starts the program that the tests before it were run with, and packs it into its jar.
  VIVARIUM_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug/vivarium \
    mvn --batch-mode --no-transfer-progress --file java/pom.xml verify 2>&1 | tee -a "$output" || status=$?
fi
grep -h '^run-again.sh: passed\|^\[WARNING\] Flakes:' "$again" "$output" || true
# Why tests failed stands far above by now.
if [ "$status" -ne 0 ]; then
  awk '/panicked at/ { print; if (getline > 0) print }' "$output" | head -n 60
fi
awk -v again="$repaired" '
  /^test result:/ { passed += $4; failed += $6 }
  # A module closes with such a line, and each of its classes with one that also says how long it took.
  /Tests run: [0-9]+, Failures: [0-9]+/ && !/Time elapsed/ {
    split($0, count, /[:,]/)
    failed += count[4] + count[6]
    passed += count[2] - count[4] - count[6] - count[8]
  }
  END { printf "%d passed, %d failed\n", passed + again, failed - again }
' "$output"
exit "$status"
