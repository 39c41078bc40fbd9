# SPDX-License-Identifier: MIT
"""The cold wake: nothing of a vhost runs but its socket, until the first byte of an answer."""
from plot import draw
from samples import Spread
from targets import Target
from text import number, ratio, spread, table

# Peer, what it is, and the peers that it is compared with.
PEERS = [
    ("native", "fpm-waker-native@, in its sandbox",
     ["php-fpm-sandbox", "php-fpm", "socket-proxyd"]),
    ("launcher", "fpm-launcher in a plain unit", ["php-fpm", "socket-proxyd", "php-cgi"]),
    ("php-fpm", "php-fpm with its FPM_SOCKETS, plain unit: the limit", []),
    ("php-fpm-sandbox", "the same in the sandbox of fpm-waker-native@: the limit", ["php-fpm"]),
    ("socket-proxyd", "systemd-socket-proxyd before php-fpm", []),
    ("php-cgi", "php-cgi with the socket as descriptor 0", []),
    ("ondemand", "php-fpm with pm=ondemand: a master is always there", []),
    ("docker", "fpm-waker@, by Docker's API",
     ["docker-api", "docker-start", "docker-run", "docker-proxied-ping", "docker-proxied",
      "docker-proxied-unix"]),
    ("docker-wrapper", "fpm-waker run -- docker run", ["docker-run", "docker-proxied"]),
    ("docker-api", "the engine alone, started by curl: the limit", ["docker-proxied"]),
    ("docker-start", "the engine alone, docker start: the limit", []),
    ("docker-run", "the engine alone, docker run: the limit", []),
    ("docker-proxied-ping", "systemd-socket-proxyd before docker run -p, as it is usually written", []),
    ("docker-proxied", "the same as fast as it can be made", []),
    ("docker-proxied-unix", "and without a network, by a socket in a shared folder", []),
    ("podman", "fpm-waker-podman@", ["podman-inherited"]),
    ("podman-inherited", "podman run with an inherited socket, FPM_SOCKETS", []),
    ("nspawn", "fpm-waker-nspawn@", []),
]
ENGINES = {peer: name for name in ("docker", "podman", "nspawn")
           for peer, _, _ in PEERS if peer.startswith(name)}

# In the order in which they are drawn; a colour for each.
PHASES = [
    ("systemd", "systemd", "#9aa5b1"),
    ("waker", "fpm-waker", "#1b7837"),
    ("engine", "engine", "#2c7fb8"),
    ("shim", "shim", "#7fcdbb"),
    ("create", "runc create", "#253494"),
    ("start", "runc start", "#636ea8"),
    ("launcher", "fpm-launcher", "#7fbf7b"),
    ("entrypoint", "entrypoint", "#c2a5cf"),
    ("boot", "php-fpm's boot", "#f4a582"),
    ("request", "request", "#b2182b"),
    ("proxy", "proxy", "#d8813a"),
]
INTRO = """## Cold wake

From just before connect() to the first byte of a small page's answer, straight on the socket, when
nothing of the vhost runs; what it reads is in the page cache. Everywhere the same php-fpm with the same
pool (pm = dynamic, two workers), in containers the same image. Who has no socket unit is timed from the
start of its command until it has answered, asked again every 0.2 ms. Proxies wait for their server in
the cheapest way there is: until its socket accepts, or until its published port answers, with Docker's
client gone meanwhile. But docker-proxied-ping is what one usually finds: the client stays, and a loop asks
php-fpm's ping.path with cgi-fcgi, and sleeps 0.1 s before it asks again. (Whoever asks a published port
before the container has its network waits for about a second: the kernel has asked for its address in
vain.)
"""
PHASES_INTRO = """The phases in ms, medians of wakes of their own, which the kernel traced. A phase goes from the
execution of the program that it is named after to that of the next one: systemd, from the connection on,
is all that it does for the unit and its sandbox; engine is its client and its daemon, shim is
containerd-shim or conmon, and runc create has what the engine does for the network in it. php-fpm's boot
ends when a worker waits for a request for the first time, and has the shim's work in it; request ends
with the first byte, or is what a proxy waits for its server, and then proxy is the rest.
"""


def engine(peer):
    return ENGINES.get(peer, "native")


def known(samples):
    return [row for row in PEERS if samples.has(engine(row[0]), row[0], "wake_usec")]


def wake(samples, peer):
    """A peer's spread, in milliseconds."""
    return Spread([usec / 1000 for usec in samples.all(engine(peer), peer, "wake_usec")])


def phase(samples, peer, name):
    """Its median in milliseconds, 0 if the peer does not have it."""
    figure = f"phase_{name}_usec"
    if not samples.has(engine(peer), peer, figure):
        return 0.0
    return samples.median(engine(peer), peer, figure) / 1000


def difference(samples, peer, base):
    """Round by round, in milliseconds."""
    mine, other = (samples.values[engine(name), name, "wake_usec"] for name in (peer, base))
    return Spread([(mine[number_of] - other[number_of]) / 1000 for number_of in mine if number_of in other])


# --- tables --------------------------------------------------------------------------------------

def wakes(samples):
    rows = [[f"{peer}: {words}", spread(wake(samples, peer))] for peer, words, _ in known(samples)]
    return table(["", "ms"], rows)


def comparisons(samples):
    rows = [[f"{peer} / {base}",
             ratio(samples.ratio(engine(peer), peer, base, "wake_usec")),
             spread(difference(samples, peer, base))]
            for peer, _, bases in known(samples) for base in bases]
    return table(["", "ratio", "difference, ms"], rows)


def traced(samples):
    return [peer for peer, _, _ in known(samples) if samples.has(engine(peer), peer, "traced_usec")]


def phase_table(samples):
    rows = []
    for peer in traced(samples):
        times = [phase(samples, peer, name) for name, _, _ in PHASES]
        rows.append([peer] + [number(time) if time else "" for time in times]
                    + [number(samples.median(engine(peer), peer, "traced_usec") / 1000)])
    return table([""] + [words for _, words, _ in PHASES] + ["all, traced"], rows)


# --- plots ---------------------------------------------------------------------------------------

def phases_plot(samples, directory):
    lines = [f'"{peer}" ' + " ".join(f"{phase(samples, peer, name):.3f}" for name, _, _ in PHASES)
             for peer in traced(samples)]
    columns = ", ".join(f'$phases using {column}{":xtic(1)" if column == 2 else ""} title "{words}" lc rgb "{colour}"'
                        for column, (_, words, colour) in enumerate(PHASES, 2))
    commands = f"""set style data histogram
set style histogram rowstacked
set style fill solid 0.9
set boxwidth 0.7
set ylabel "ms"
set xtics rotate by 40 right
set yrange [0:*]
plot {columns}
"""
    return draw(directory, "cold-wake-phases", "Phases of a cold wake", commands, {"phases": lines})


SHOWN = [("native", "#1b7837"), ("launcher", "#7fbf7b"), ("php-fpm", "#9aa5b1"),
         ("php-fpm-sandbox", "#4d4d4d"), ("socket-proxyd", "#d8813a"), ("docker", "#253494"),
         ("docker-api", "#7fcdbb"), ("docker-proxied-ping", "#e7298a"), ("docker-proxied", "#b2182b"), ("docker-proxied-unix", "#f4a582"),
         ("podman", "#762a83"), ("podman-inherited", "#c2a5cf"), ("nspawn", "#8c510a")]


def distribution_plot(samples, directory):
    data, plots = {}, []
    for index, (peer, colour) in enumerate(SHOWN):
        if not samples.has(engine(peer), peer, "wake_usec"):
            continue
        times = sorted(samples.all(engine(peer), peer, "wake_usec"))
        data[f"wakes{index}"] = [f"{usec / 1000:.3f} {100 * (at + 1) / len(times):.1f}"
                                 for at, usec in enumerate(times)]
        plots.append(f'$wakes{index} using 1:2 with steps lw 2 lc rgb "{colour}" title "{peer}"')
    commands = 'set logscale x\nset xlabel "ms"\nset ylabel "% of the wakes"\nset yrange [0:100]\nplot ' \
        + ", ".join(plots)
    return draw(directory, "cold-wake", "Cold wakes: connect to first byte", commands, data)


# --- promises ------------------------------------------------------------------------------------

def more_than(samples, peer, base):
    """Which phases of a peer take longer than those of another, in words."""
    more = [(phase(samples, peer, name) - phase(samples, base, name), words) for name, words, _ in PHASES]
    return ", ".join(f"{words} {number(time)} ms" for time, words in sorted(more, reverse=True)[:3] if time > 0.1)


def unit_costs(samples):
    """What the shipped native unit takes beyond fpm-launcher in a plain one."""
    own = phase(samples, "native", "waker")
    setting_up = phase(samples, "native", "systemd") - phase(samples, "launcher", "systemd")
    return (f"Beyond fpm-launcher in a plain unit, fpm-waker-native@ takes {number(own)} ms for fpm-waker "
            f"and {number(setting_up)} ms in which systemd sets the sandbox up.\n")


def longest(samples, peer):
    times = sorted(((phase(samples, peer, name), words) for name, words, _ in PHASES), reverse=True)
    return ", ".join(f"{words} {number(time)} ms" for time, words in times[:3])


def promises(samples):
    return [
        Target("launcher and shim in a native cold wake, ms", difference(samples, "launcher", "php-fpm").middle, 2,
               shortfall="More than php-fpm alone take: " + more_than(samples, "launcher", "php-fpm") + "."),
        Target("a Docker cold wake by API to docker run behind a proxy, as usually written",
               samples.ratio("docker", "docker", "docker-proxied-ping", "wake_usec").middle, 0.6,
               shortfall=f"Most of it is {longest(samples, 'docker')}."),
        Target("a Docker cold wake by API to the fastest docker run behind a proxy",
               samples.ratio("docker", "docker", "docker-proxied", "wake_usec").middle, 0.6,
               shortfall=f"Most of it is {longest(samples, 'docker')}. The engine alone, asked by its API, is at "
                         + number(samples.ratio("docker", "docker-api", "docker-proxied", "wake_usec").middle)
                         + " of that proxy. To the proxy without Docker's network it is "
                         + number(samples.ratio("docker", "docker", "docker-proxied-unix", "wake_usec").middle)
                         + "."),
    ]


def losses(samples):
    count = sum(len(samples.all(engine(peer), peer, "wake_usec")) for peer, _, _ in known(samples))
    return f"{count} wakes were measured; none of their requests was lost.\n"


def section(samples, directory):
    parts = [INTRO, wakes(samples), losses(samples), comparisons(samples), PHASES_INTRO, phase_table(samples),
             unit_costs(samples)]
    if directory:
        parts.insert(2, distribution_plot(samples, directory))
        parts.append(phases_plot(samples, directory))
    return "\n".join(parts), promises(samples)
