# SPDX-License-Identifier: MIT
"""Scale: thousands of socket units on one host, and many vhosts that are asked at once."""
from plot import draw
from samples import percentile
from targets import Target
from text import number, ratio, spread, table

BASE = "1"
OURS, PROXY = "fpm-waker", "socket-proxyd"
SANDBOX = PROXY + "-sandbox"
INTRO = """## Scale

A host with 1 socket unit of fpm-waker, and with thousands: how long systemd takes to boot and for a
`daemon-reload`, with PID 1's CPU time for that, its memory (PSS), and the wake of one vhost with all the
others there, to the first byte. Ratios are to the host with one.
"""
AT_ONCE = """Many stopped vhosts, native ones, that are asked at once, until the first byte of each, and
of the last: the same with systemd-socket-proxyd before as many php-fpms, once as root's services usually
are and once in the sandbox of fpm-waker's native unit, and with as many pools of a php-fpm that is always
on. No request failed.
"""


def counts(samples):
    """The numbers of units, as text."""
    return samples.peers("host")


def host_table(samples):
    rows = []
    for figure, words in (("boot_ms", "boot, ms"), ("boot_cpu_ms", "of PID 1's CPU, ms"),
                          ("reload_ms", "daemon-reload, ms"), ("reload_cpu_ms", "of PID 1's CPU, ms"),
                          ("pid1_kb", "PID 1's memory, KB")):
        rows.append([words] + [spread(samples.spread("host", count, figure)) for count in counts(samples)])
    for engine in ("native", "Docker"):
        case = f"wake, {engine}"
        rows.append([f"{case}, ms"] + [spread(samples.spread(case, count, "first_byte_ms"))
                                       for count in counts(samples)])
        rows.append([f"{case}: to that with one"]
                    + [ratio(samples.ratio(case, count, BASE, "first_byte_ms")) for count in counts(samples)])
    return table(["socket units"] + [f"{int(count):,}" for count in counts(samples)], rows)


def per_unit(samples, count, figure):
    """What one more unit costs."""
    more = samples.median("host", count, figure) - samples.median("host", BASE, figure)
    return more / (int(count) - 1)


def unit_costs(samples):
    rows = [[f"{int(count):,}"] + [number(per_unit(samples, count, figure))
                                    for figure in ("boot_ms", "reload_ms", "pid1_kb")]
            for count in counts(samples) if count != BASE]
    return "What each more of them costs:\n\n" + table(
        ["of", "boot, ms", "daemon-reload, ms", "PID 1, KB"], rows)


def at_once_table(samples):
    rows = []
    for peer in samples.peers("at once"):
        rows.append([peer, spread(samples.spread("each", peer, "first_byte_ms")),
                     spread(samples.spread("at once", peer, "last_ms")),
                     ratio(samples.ratio("at once", peer, PROXY, "last_ms")),
                     ratio(samples.ratio("at once", peer, SANDBOX, "last_ms"))])
    return table(["ms", "each", "the last one", "to the proxy's", "to that in the sandbox"], rows)


def promises(samples):
    promised = []
    for count in counts(samples):
        if count == BASE:
            continue
        promised.append(Target(
            f"native wake with {int(count):,} socket units to that with one",
            samples.ratio("wake, native", count, BASE, "first_byte_ms").middle, 1.25,
            shortfall="systemd starts the service; its PID 1 then had "
            f"{number(samples.median('host', count, 'pid1_kb') / 1000)} MB of memory instead of "
            f"{number(samples.median('host', BASE, 'pid1_kb') / 1000)} MB."))
    last = {peer: samples.median("at once", peer, "last_ms") for peer in (OURS, PROXY, SANDBOX)}
    promised += [
        Target("last of many vhosts woken at once, native, to the proxy's in the same sandbox",
               samples.ratio("at once", OURS, SANDBOX, "last_ms").middle, 1.0,
               shortfall=f"It took {number(last[OURS])} ms, the proxy's {number(last[SANDBOX])} ms."),
        Target("the same, to the proxy's without a sandbox",
               samples.ratio("at once", OURS, PROXY, "last_ms").middle, 1.0,
               shortfall="It is systemd that takes the time, for the sandbox, before it executes fpm-waker: "
               f"with it the proxy pattern, too, took {number(last[SANDBOX])} ms instead of "
               f"{number(last[PROXY])} ms, and fpm-waker {number(last[OURS])} ms."),
    ]
    return promised


def growth(samples, directory):
    lines = [" ".join([count] + [f"{samples.median('host', count, figure) / 1000:.4f}"
                                 for figure in ("boot_ms", "reload_ms")]) for count in counts(samples)]
    commands = """set xlabel "socket units"
set ylabel "s"
set yrange [0:*]
plot $growth using 1:2 with linespoints lw 2 pt 7 lc rgb "#1b7837" title "boot", \\
  "" using 1:3 with linespoints lw 2 pt 7 lc rgb "#d8813a" title "daemon-reload"
"""
    return draw(directory, "scale", "Boot and daemon-reload", commands, {"growth": lines})


def distribution(samples, directory):
    blocks = {}
    for peer in samples.peers("at once"):
        values = samples.all("each", peer, "first_byte_ms")
        blocks[peer.replace("-", "_")] = [f"{percentile(values, share / 100):.3f} {share}"
                                          for share in range(0, 101)]
    commands = """set xlabel "ms"
set logscale x
set ylabel "answered, %"
set yrange [0:100]
plot $php_fpm using 1:2 with lines lw 2 lc rgb "#9aa5b1" title "php-fpm, always on", \\
  $fpm_waker using 1:2 with lines lw 2 lc rgb "#1b7837" title "fpm-waker", \\
  $socket_proxyd using 1:2 with lines lw 2 lc rgb "#d8813a" title "socket-proxyd", \\
  $socket_proxyd_sandbox using 1:2 with lines lw 2 dt 2 lc rgb "#d8813a" title "the same, sandbox"
"""
    return draw(directory, "at-once", "Asked at once: how many are answered after", commands, blocks)


def section(samples, directory):
    parts = [INTRO, host_table(samples), unit_costs(samples), AT_ONCE, at_once_table(samples)]
    if directory:
        parts.insert(3, growth(samples, directory))
        parts.append(distribution(samples, directory))
    return "\n".join(parts), promises(samples)
