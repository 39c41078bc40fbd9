#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# bats file_tags=host
# `make bench` measures: here only that it does, each part in its short form, since what it finds is no
# matter for a test. And that the report says what the samples do.

load ../helpers

setup() { start_test; }
teardown() { end_test; }

# bench PART VARIABLE=VALUE...: runs this part of it. Its samples are in $samples.
bench() {
  samples=$dir/bench/$1.samples
  make -s -C "$tree" bench "BENCH_PARTS=$1" "BENCH_OUT=$dir/bench" BENCH_ROUNDS=1 BENCH_SECONDS=1 "${@:2}" \
    >"$dir/bench.log" 2>&1
  contains "$(<"$dir/bench.log")" "## "
}

# Prints "CASE: PEER PEER...", for those cases that have a name like this.
peers_of() {
  awk -F '\t' -v like="$1" '!/^#/ && $1 ~ like && !seen[$1, $2]++ { if (!($1 in peers)) cases[++n] = $1
    peers[$1] = peers[$1] " " $2 } END { for (i = 1; i <= n; i++) print cases[i] ":" peers[cases[i]] }' "$samples"
}

# --- the parts -----------------------------------------------------------------------------------

@test "request-path: each peer, each way, and system calls" {
  local how keep
  bench request-path BENCH_CLIENTS=1
  is "$(peers_of .)" "$(
    for how in nginx straight; do
      for keep in close keep; do
        echo "$how, unix, small, $keep, 1: php-fpm fpm-waker socket-proxyd spawn-fcgi"
        echo "$how, unix, big, $keep, 4: php-fpm fpm-waker socket-proxyd spawn-fcgi"
      done
    done
    for keep in close keep; do
      echo "nginx, tcp, small, $keep, 4: php-fpm fpm-waker socket-proxyd spawn-fcgi"
    done
    for keep in close keep; do
      echo "system calls, $keep: php-fpm fpm-waker socket-proxyd spawn-fcgi"
    done
  )"
  is "$(awk -F '\t' '$1 == "nginx, unix, small, close, 1" && $2 == "fpm-waker" { print $3, $4 }' "$samples")" \
    "$(printf '1 %s\n' rate p50_usec p99_usec worker_usec all_usec)"
}

@test "cold-wake: each engine, and what else starts it; each phase of ours" {
  bench cold-wake
  is "$(peers_of .)" "native: native launcher php-fpm php-fpm-sandbox socket-proxyd php-cgi ondemand
docker: docker docker-wrapper docker-start docker-api docker-run docker-proxied docker-proxied-ping \
docker-proxied-unix
podman: podman podman-inherited
nspawn: nspawn"
  is "$(phases_of native)" 'boot launcher request systemd waker'
  is "$(phases_of docker)" 'boot create engine entrypoint launcher request shim start systemd waker'
}
phases_of() {
  awk -F '\t' -v peer="$1" '$2 == peer && sub(/^phase_/, "", $4) && sub(/_usec$/, "", $4) { print $4 }' "$samples" |
    sort | xargs
}

@test "tiers: thaws and light wakes in each engine" {
  bench tiers
  is "$(peers_of .)" "$(
    for engine in native docker podman nspawn; do
      peers='frozen hot'
      [ "$engine" != docker ] || peers+=' docker unpause'
      echo "thaw, $engine: $peers"
      echo "light wake, $engine: light hot"
    done
  )"
}

@test "wordpress: with and without files of OPcache" {
  bench wordpress
  is "$(peers_of 'cold|warm')" "cold: php-fpm php-fpm-files native native-files docker docker-files
warm: php-fpm php-fpm-files native native-files docker docker-files"
}

@test "scale: boot, reload and wakes among many units, and many wakes at once" {
  bench scale BENCH_UNITS=20 BENCH_AT_ONCE=5
  is "$(peers_of .)" "host: 1 20
wake, native: 1 20
wake, Docker: 1 20
each: php-fpm fpm-waker socket-proxyd socket-proxyd-sandbox
at once: php-fpm fpm-waker socket-proxyd socket-proxyd-sandbox"
}

@test "memory: each tier, and what others do; stopped vhosts have no process" {
  bench memory BENCH_VHOSTS=1
  is "$(peers_of .)" "1: native hot native frozen native light native stopped php-fpm hot ondemand hot proxy hot \
docker hot docker frozen docker light docker stopped docker-run hot docker-proxy hot"
  contains "$(<"$dir/bench.log")" '| processes of a stopped vhost | ≤ 0 | 0 | met |'
}

@test "a part that there is not is refused, before anything is set up" {
  run env BENCH_PARTS='tiers thaw' "$tree/bats/bench/bench"
  is "$status $output" "2 bench: BENCH_PARTS: there is no part thaw; there are \
request-path cold-wake tiers wordpress scale memory"
}

# --- the report ----------------------------------------------------------------------------------

# Samples of the request path in $dir/request-path.samples: bare php-fpm answers 1000 requests/s, we
# RATE of them, the proxy 500; all else is 100. One round differs: its rate is a tenth more for all.
request_path() {
  local how keep clients peer figure value round
  echo '# Measured by hand.' >"$dir/request-path.samples"
  for how in nginx straight; do
    for keep in close keep; do
      for clients in 1 4 16; do
        for peer in "php-fpm 1000" "fpm-waker $1" "socket-proxyd 500"; do
          for round in 1 2 3; do
            value=${peer#* }
            [ "$round" != 2 ] || value=$((value * 11 / 10))
            for figure in "rate $value" 'p50_usec 100' 'p99_usec 100' 'worker_usec 100' 'all_usec 100'; do
              printf '%s\t' "$how, unix, small, $keep, $clients" "${peer% *}" "$round" "${figure% *}"
              echo "${figure#* }"
            done
          done
        done
      done
    done
  done >>"$dir/request-path.samples"
  for keep in close keep; do
    printf '%s\t%s\t1\tread\t%s\n' "system calls, $keep" php-fpm 5 "system calls, $keep" fpm-waker 1
  done >>"$dir/request-path.samples"
}

report() { run python3 "$tree/bats/bench/report" "$dir"; }

@test "the report: medians, spreads, ratios round by round, what was promised" {
  request_path 1200
  report
  is "$status" 0 "$output"
  is "$(grep -m 1 '^| nginx, unix, small, close, 4 |' <<<"$output")" \
    '| nginx, unix, small, close, 4 | **1.20** (1.20–1.20) | **1.00** (1.00–1.00) | **1.00** (1.00–1.00) | **1.00** (1.00–1.00) | **0.50** (0.50–0.50) | **2.40** (2.40–2.40) |'
  contains "$output" '| nginx, unix, small, close, 4: fpm-waker | 1,200 (1,200–1,320) | 100 (100–100) |'
  contains "$output" '| worker CPU to php-fpm'"'"'s, 1 client | ≤ 1.00 | 1.00 | met |'
  contains "$output" '| worker CPU to php-fpm'"'"'s, 4 clients | ≤ 0.90 | 1.00 | **not met** |'
  contains "$output" '- worker CPU to php-fpm'"'"'s, 4 clients: 1.00 instead of 0.90.'
  contains "$output" $'\nMeasured by hand.\n'
  contains "$output" $'| read | 5.0 | 1.0 |\n| all | 5.0 | 1.0 |'
  is "$(head -c 5 "$dir/throughput.svg")" '<?xml'
  is "$(cat "$dir/report.md")" "$(sed '$d' <<<"$output")"
}

@test "the report tells which ratios another run has changed beyond their spread" {
  mkdir "$dir/before"
  request_path 1200
  mv "$dir/request-path.samples" "$dir/before"
  request_path 1200
  report
  contains "$output" '72 of 72 ratios are the same, within their spreads.'
  request_path 900
  report
  contains "$output" '48 of 72 ratios are the same, within their spreads.'
  contains "$output" '| nginx, unix, small, close, 1, rate: fpm-waker / php-fpm | **1.20** (1.20–1.20) | **0.90** (0.90–0.90) |'
}
