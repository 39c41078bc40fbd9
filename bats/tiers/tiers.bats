#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# bats file_tags=host
#
# What the tiers rest on: which one comes next, and the kernel's freezer, of version 2 or 1 as this
# machine has it.

load ../helpers

tier_test=$build/test/tier-test

setup() { start_test; }

teardown() {
  if [ -n "${frozen_cgroup:-}" ]; then
    "$tier_test" thaw "$path" || true
    kill -KILL "$pid"
    wait_for rmdir "$frozen_cgroup"
  fi
  end_test
}

@test "the next tier is the first that comes sooner than all behind it" {
  local freeze light stop now expected
  while read -r freeze light stop now expected; do
    is "$("$tier_test" next "$freeze" "$light" "$stop" "$now")" "$expected" \
      "freeze $freeze, light $light, stop $stop, now $now"
  done <<'TABLE'
10s      20s      30s      0 frozen 10 light
10s      20s      30s      1 light 20 light
10s      20s      30s      2 stopped 30 light
10s      20s      30s      3 hot never light
infinity infinity 30s      0 stopped 30
infinity infinity infinity 0 hot never
10s      infinity infinity 0 frozen 10
10s      infinity infinity 1 hot never
10s      infinity 30s      1 stopped 30
infinity 20s      infinity 0 light 20 light
infinity 20s      infinity 2 hot never light
10s      10s      30s      0 light 10 light
20s      10s      30s      0 light 10 light
10s      30s      30s      0 frozen 10
10s      30s      30s      1 stopped 30
10s      40s      30s      1 stopped 30
30s      40s      30s      0 stopped 30
0        0        0        0 stopped 0
0        20s      30s      0 frozen 0 light
TABLE
}

# Puts a process into a cgroup of its own.
cgroup_of_its_own() {
  start sleeper sleep 600
  frozen_cgroup=/sys/fs/cgroup
  [ ! -d $frozen_cgroup/freezer ] || frozen_cgroup+=/freezer
  frozen_cgroup+=/fpm-waker-test-$$
  mkdir "$frozen_cgroup"
  echo "$pid" >"$frozen_cgroup/cgroup.procs"
  path=$("$tier_test" find "$pid")
}

is_kernel_frozen() { grep -qsx 'frozen 1' "$frozen_cgroup/cgroup.events" || grep -qsx FROZEN "$path"; }
not_kernel_frozen() { ! is_kernel_frozen; }

@test "a cgroup freezes and thaws, and what others write into it is seen" {
  cgroup_of_its_own
  is "${path%/*}" "$frozen_cgroup"
  is "$("$tier_test" is-set "$path")" 0
  "$tier_test" freeze "$path"
  wait_for is_kernel_frozen
  is "$("$tier_test" is-set "$path")" 1
  "$tier_test" thaw "$path"
  wait_for not_kernel_frozen
  is "$("$tier_test" is-set "$path")" 0
}

@test "whoever freezes is never in that cgroup himself, nor below" {
  local expected='Resource deadlock avoided'
  cgroup_of_its_own
  mkdir "$frozen_cgroup/below"
  is "$(sh -c "echo \$\$ >$frozen_cgroup/cgroup.procs; exec $tier_test find $pid")" "$expected"
  is "$(sh -c "echo \$\$ >$frozen_cgroup/below/cgroup.procs; exec $tier_test find $pid")" "$expected"
  wait_for rmdir "$frozen_cgroup/below"
}

@test "memory is offered back where the kernel can take it: that of a server's own cgroup to ours" {
  mkdir -p "$dir/unit/server"
  : >"$dir/unit/memory.reclaim"
  "$tier_test" reclaim "$dir/unit/cgroup.freeze" 4194304
  is "$(<"$dir/unit/memory.reclaim")" 4194304
  "$tier_test" reclaim "$dir/unit/server/cgroup.freeze" 8388608
  is "$(<"$dir/unit/memory.reclaim")" 8388608
  rm "$dir/unit/memory.reclaim"
  run "$tier_test" reclaim "$dir/unit/cgroup.freeze" 4194304
  is "$output" 'No such file or directory'
}
