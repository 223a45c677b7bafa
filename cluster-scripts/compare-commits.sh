#!/usr/bin/env bash
# Builds two commits and puts the same load on both, in turn: what a change has made faster or slower.
set -euo pipefail
# shellcheck source=cluster-scripts/ensemble.sh
. "$(dirname "${BASH_SOURCE[0]}")/ensemble.sh"

usage() {
  cat >&2 <<'TEXT'
usage: compare-commits.sh A B [OPTION OF compare.sh...]

Builds the commits A and B in release, runs compare.sh on both, and prints the ratios of B to A; the driver is
that of B. Each is checked out beside the repository's target directory while it is built; what was built is
kept in target/commits and not built again.
TEXT
  exit 2
}

[ $# -ge 2 ] && [[ $1 != -* && $2 != -* ]] || usage
kept=$(mkdir -p "${CARGO_TARGET_DIR:-$root/target}/commits" && cd "${CARGO_TARGET_DIR:-$root/target}/commits" && pwd)
commit_a=$(git -C "$root" rev-parse --verify --quiet "$1^{commit}") || die "there is no commit '$1'"
commit_b=$(git -C "$root" rev-parse --verify --quiet "$2^{commit}") || die "there is no commit '$2'"
[ "$commit_a" != "$commit_b" ] || die "$1 and $2 are the same commit"
shift 2

tree=
finish() { [ -z "$tree" ] || git -C "$root" worktree remove --force "$tree" > /dev/null 2>&1 || true; }
at_end finish

# build COMMIT
build() {
  [ ! -x "$kept/vivarium-$1" ] || return 0
  tree=$kept/tree-$1
  git -C "$root" worktree remove --force "$tree" > /dev/null 2>&1 || true
  git -C "$root" worktree add --quiet --detach "$tree" "$1"
  # One target directory for all: most of what is built is the same.
  (cd "$tree" && CARGO_TARGET_DIR=$kept/target cargo build --release --locked --bin vivarium) >&2 || die "$1 cannot be built"
  cp "$kept/target/release/vivarium" "$kept/vivarium-$1"
  finish
  tree=
}
build "$commit_a"
build "$commit_b"

VIVARIUM_BIN=$kept/vivarium-$commit_b "$here/compare.sh" \
  --systems "${commit_a:0:10}=$kept/vivarium-$commit_a,${commit_b:0:10}=$kept/vivarium-$commit_b" "$@"
