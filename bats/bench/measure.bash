# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the parts of the bench share. A part runs in a bed, or on this machine and boots beds; its
# stdout is samples and nothing else, what it says goes to stderr.

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$tree/${BUILD:-build}
part=$(basename "$0")
rounds=${BENCH_ROUNDS:-7}
export tree build

die() {
  echo "bench: $part: $*" >&2
  exit 1
}

# sample CASE PEER ROUND FIGURE VALUE: a number, in the unit that the figure's name ends in.
sample() {
  printf '%s\t%s\t%s\t%s\t%s\n' "$@"
}

# progress WORDS...: one line, overwritten by the next, for who looks on.
progress() {
  [ ! -t 2 ] || printf '\r\033[K%s: %s' "$part" "$*" >&2
}

progress_end() {
  [ ! -t 2 ] || printf '\r\033[K' >&2
}

# in_turns ROUNDS COMMAND PEER...: calls COMMAND PEER ROUND for each, A B C, C B A and so on.
in_turns() {
  local count=$1 command=$2 round peer order
  shift 2
  for ((round = 1; round <= count; round++)); do
    order=("$@")
    [ $((round % 2)) = 1 ] || mapfile -t order < <(printf '%s\n' "$@" | tac)
    for peer in "${order[@]}"; do
      progress "$peer, round $round of $count"
      "$command" "$peer" "$round"
    done
  done
  progress_end
}

# wait_until SECONDS COMMAND...: until the command succeeds.
wait_until() {
  local end=$((SECONDS + $1 + 1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "waited in vain for: $*"
    sleep 0.02
  done
}
