# SPDX-License-Identifier: MIT
"""WordPress: time to the first byte of the front page, with and without OPcache's files kept."""
from plot import draw
from samples import Spread
from targets import Target
from text import number, ratio, spread, table

LIMIT = "php-fpm"
WORDS = {
    "php-fpm": "php-fpm, just restarted",
    "native": "woken vhost, native",
    "docker": "woken vhost, Docker",
}
INTRO = """## A real application: WordPress

The front page of WordPress with MariaDB, both Debian's packages, through nginx, time to the first byte:
of vhosts that the request wakes, and of a php-fpm that is always on and was restarted just before the
request. OPcache forgets what it has compiled when php-fpm stops; with `OpcacheFileCache=yes`
(fpm-waker.conf(5)), for php-fpm alone with `opcache.file_cache=`, its files outlive that. The warm
request is the second one after each wake. MariaDB runs all the time, and all files are in the page
cache.
"""


def beside_start(samples, peer):
    """The time to the first byte, but from the start of fpm-waker until php-fpm takes requests."""
    total = samples.values["cold", peer, "first_byte_ms"]
    wake = samples.values.get(("cold", peer, "wake_ms"), {})
    return Spread([total[number] - wake.get(number, 0) for number in total])


def to_limit(samples, peer):
    """The same with what is always on, as restarted."""
    limit = LIMIT + "-files" if peer.endswith("-files") else LIMIT
    return ratio(samples.ratio("cold", peer, limit, "first_byte_ms"))


def times(samples):
    rows = []
    for peer in samples.peers("cold"):
        base, kept = peer.replace("-files", ""), peer.endswith("-files")
        wake = "–"
        if samples.has("cold", peer, "wake_ms"):
            wake = spread(samples.spread("cold", peer, "wake_ms"))
        rows.append([
            WORDS[base] + (", files kept" if kept else ""),
            spread(samples.spread("cold", peer, "first_byte_ms")), wake,
            spread(beside_start(samples, peer)),
            spread(samples.spread("warm", peer, "first_byte_ms")),
            ratio(samples.ratio("cold", peer, base, "first_byte_ms")) if kept else "",
            to_limit(samples, peer) if base != LIMIT else "",
            ratio(samples.ratio("warm", peer, base, "first_byte_ms")) if kept else "",
        ])
    return table(["ms", "cold", "of these fpm-waker and php-fpm's start", "systemd and the request",
                  "warm", "cold to that without files", "cold to php-fpm restarted", "warm to that without files"], rows)


def promises(samples):
    promised = []
    for engine, words in (("native", "native"), ("docker", "Docker")):
        kept = engine + "-files"
        promised.append(Target(
            f"WordPress cold with OpcacheFileCache= to that without, {words}",
            samples.ratio("cold", kept, engine, "first_byte_ms").middle, 1.0,
            shortfall="Of the cold page, "
            f"{number(beside_start(samples, engine).middle)} ms were systemd and the request without "
            f"the files, {number(beside_start(samples, kept).middle)} ms with them."))
    return promised


def sizes(samples):
    megabytes = samples.median("files", "native-files", "cache_mb")
    return f"The files take {number(megabytes)} MB of disk, for a vhost.\n"


def figure(samples, directory):
    lines = []
    for peer in samples.peers("cold"):
        wake = samples.median("cold", peer, "wake_ms") if samples.has("cold", peer, "wake_ms") else 0
        words = WORDS[peer.replace("-files", "")] + ("\\n files kept" if "-files" in peer else "")
        lines.append(f'"{words}" {wake:.3f} {beside_start(samples, peer).middle:.3f}')
    commands = """set style data histogram
set style histogram rowstacked
set style fill solid 0.9
set boxwidth 0.6
set ylabel "ms"
set xtics rotate by -35
set yrange [0:*]
plot $times using 2:xtic(1) title "fpm-waker, php-fpm's start" lc rgb "#1b7837", \\
  "" using 3 title "systemd, first request" lc rgb "#9aa5b1"
"""
    return draw(directory, "wordpress", "WordPress, front page cold: time to the first byte", commands,
                {"times": lines})


def section(samples, directory):
    parts = [INTRO, times(samples), sizes(samples)]
    if directory:
        parts.append(figure(samples, directory))
    return "\n".join(parts), promises(samples)
