# SPDX-License-Identifier: MIT
"""The request path: php-fpm on its own socket, behind fpm-waker, behind systemd-socket-proxyd."""
from plot import draw
from targets import Target
from text import number, ratio, spread, table

BARE, OURS, PROXY = "php-fpm", "fpm-waker", "socket-proxyd"
INTRO = """## Request path

The same php-fpm (pm = static, 16 workers) on its own socket, behind fpm-waker, and behind
systemd-socket-proxyd; and php-cgi with 16 workers, started by spawn-fcgi. Asked through nginx (by wrk)
and straight; small: a page of 6 bytes, big: one of 1 MiB; close: a connection for each request, keep:
connections are kept alive. Ratios are to php-fpm on its own socket. Worker CPU is that of the workers for
a request; all CPU has the proxy's, too.
"""


def load_cases(samples):
    return [case for case in samples.cases() if not case.startswith("system calls")]


def main_table(samples):
    rows = []
    for case in load_cases(samples):
        rows.append([
            case,
            *(ratio(samples.ratio(case, OURS, BARE, figure))
              for figure in ("rate", "p50_usec", "p99_usec", "worker_usec")),
            ratio(samples.ratio(case, PROXY, BARE, "rate")),
            ratio(samples.ratio(case, OURS, PROXY, "rate")),
        ])
    return table(["way, socket, page, connection, clients", "requests/s", "p50", "p99", "worker CPU",
                  "proxy's requests/s", "ours to the proxy's"], rows)


def long_tails(samples):
    """Where the slowest requests are slower than php-fpm's in nine of ten rounds."""
    worse = [f"{case}: {ratio(spread_of)}" for case in load_cases(samples)
             for spread_of in [samples.ratio(case, OURS, BARE, "p99_usec")]
             if spread_of.low > 1 and spread_of.middle >= 1.5]
    if not worse:
        return ""
    return ("The 99th percentile is clearly longer than php-fpm's own where more workers than processors have "
            "something to do, and a worker that is done finds the next connection before it would have slept: "
            + "; ".join(worse) + ".\n")


def plain_table(samples):
    rows = []
    for case in load_cases(samples):
        for peer in samples.peers(case):
            rows.append([f"{case}: {peer}"] + [spread(samples.spread(case, peer, figure)) for figure in (
                "rate", "p50_usec", "p99_usec", "worker_usec", "all_usec")])
    return table(["", "requests/s", "p50 µs", "p99 µs", "worker CPU µs", "all CPU µs"], rows)


def calls(samples):
    text = []
    for case in ("system calls, close", "system calls, keep"):
        names = sorted({name for peer in (BARE, OURS) for name in samples.figures(case, peer)})
        rows, total = [], [0.0, 0.0]
        for name in names:
            counts = [samples.median(case, peer, name) if samples.has(case, peer, name) else 0.0
                      for peer in (BARE, OURS)]
            total = [a + b for a, b in zip(total, counts)]
            if f"{counts[0]:.1f}" != f"{counts[1]:.1f}":
                rows.append([name] + [f"{count:.1f}" for count in counts])
        rows.append(["all"] + [f"{count:.1f}" for count in total])
        text += [f"A worker's {case}, for a request:\n", table(["", BARE, OURS], rows)]
    return "\n".join(text)


def calls_of(samples, keep):
    """A worker's calls that wait and read, for a request on a connection of that kind."""
    case = f"system calls, {keep}"
    names = [name for name in samples.figures(case, OURS)
             if name in ("ppoll", "recvfrom", "recvmsg", "read") and samples.median(case, OURS, name) >= 0.1]
    return ", ".join(f"{samples.median(case, OURS, name):.1f} {name}" for name in sorted(names))


def promises(samples):
    promised = []
    for keep, clients, limit in [(keep, *both) for keep in ("close", "keep")
                                 for both in ((1, 1.0), (4, 0.9), (16, 0.9))]:
        case = f"nginx, unix, small, {keep}, {clients}"
        if case not in samples.cases():
            continue
        words = f"{clients} client{'s' if clients > 1 else ''}{', kept alive' if keep == 'keep' else ''}"
        costs = f"A request takes {number(samples.median(case, OURS, 'worker_usec'))} µs of a worker. "
        if keep == "keep":
            costs += ("Between two requests on a connection it waits for the next one and for the gate to close, "
                      "and looks at what came, where php-fpm sleeps in its first read: "
                      f"{calls_of(samples, keep)}.")
        promised += [
            Target(f"requests/s to php-fpm's, {words}", samples.ratio(case, OURS, BARE, "rate").middle,
                   1.0, at_least=True, shortfall=costs),
            Target(f"p50 to php-fpm's, {words}", samples.ratio(case, OURS, BARE, "p50_usec").middle, 1.0,
                   shortfall=costs),
            Target(f"worker CPU to php-fpm's, {words}",
                   samples.ratio(case, OURS, BARE, "worker_usec").middle, limit, shortfall=costs),
        ]
        if keep == "close":
            promised.append(Target(f"requests/s to socket-proxyd's, {words}",
                                   samples.ratio(case, OURS, PROXY, "rate").middle, 1.8, at_least=True,
                                   shortfall="The proxy takes "
                                   f"{number(samples.median(case, PROXY, 'all_usec') - samples.median(case, PROXY, 'worker_usec'))}"
                                   " µs of CPU for a request."))
    return promised


def figure(samples, directory):
    cases = [case for case in load_cases(samples) if "small" in case and "unix" in case]
    lines = [f'"{case.replace("unix, small, ", "")}" '
             + " ".join(number(samples.median(case, peer, "rate")).replace(",", "")
                        for peer in (BARE, OURS, PROXY)) for case in cases]
    commands = """set style data histogram
set style fill solid 0.9
set ylabel "requests/s"
set xtics rotate by -35
set yrange [0:*]
plot $rates using 2:xtic(1) title "php-fpm" lc rgb "#9aa5b1", \\
  "" using 3 title "fpm-waker" lc rgb "#1b7837", "" using 4 title "socket-proxyd" lc rgb "#d8813a"
"""
    return draw(directory, "throughput", "Requests a second, small page, unix socket", commands,
                {"rates": lines})


def section(samples, directory):
    parts = [INTRO, main_table(samples), long_tails(samples), calls(samples), plain_table(samples)]
    if directory:
        parts.insert(2, figure(samples, directory))
    return "\n".join(parts), promises(samples)
