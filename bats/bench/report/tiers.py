# SPDX-License-Identifier: MIT
"""The first byte after a thaw, and from the light tier."""
from plot import draw
from samples import percentile
from targets import Target
from text import number, ratio, table

ENGINES = ("native", "docker", "podman", "nspawn")
TARGETS = (("native", "native"), ("docker", "Docker"))
LIMIT_MSEC = 3
FROZEN, HOT, LIGHT, UNPAUSE = "frozen", "hot", "light", "docker unpause"
INTRO = """## Thaw and light wake

From connect() to the first byte of a small answer, over the vhost's socket; milliseconds.
Each request comes 20 ms after the vhost has reached its tier; hot: it has not left it, and is asked as
seldom. docker unpause: a container paused by `docker pause`, where `docker unpause` comes first and counts,
as in a script before a proxy. Ratios are those of the medians of the rounds.
"""


def percentiles(samples, case, peer):
    spans = samples.all(case, peer, "first_byte_usec")
    return [len(spans)] + [percentile(spans, share) / 1000 for share in (0.5, 0.9, 0.99, 1)]


def main_table(samples):
    rows = []
    for case in samples.cases():
        for peer in samples.peers(case):
            count, *spans = percentiles(samples, case, peer)
            to_hot = "" if peer == HOT else ratio(samples.ratio(case, peer, HOT, "p50_usec"))
            rows.append([f"{case}: {peer}", str(count)] + [number(span) for span in spans] + [to_hot])
    return table(["", "requests", "p50", "p90", "p99", "longest", "median to hot"], rows)


def to_unpause(samples):
    spread = samples.ratio("thaw, docker", UNPAUSE, FROZEN, "p50_usec")
    return (f"A script that runs `docker unpause` takes {ratio(spread)} times as long as a thaw of Docker's "
            "container by fpm-waker.\n")


def phases(samples, case):
    """Of a thaw: until the kernel says it is thawed, and from there to the first byte; medians in ms."""
    thawed = samples.median(case, FROZEN, "thawed_usec") / 1000
    return thawed, samples.median(case, FROZEN, "thawed_first_byte_usec") / 1000 - thawed


def phase_table(samples):
    rows = [[case] + [number(phase) for phase in phases(samples, case)]
            for case in samples.cases() if case.startswith("thaw")]
    return ("What a thaw consists of, in requests of their own, in which the client waits for the kernel's word "
            "as well; medians, ms:\n\n"
            + table(["", "until fpm-waker has woken and the kernel has thawed", "to the first byte"], rows))


def shortfall(samples, engine):
    """Which phase has the outliers, and whether a hot vhost has them as well."""
    case = f"thaw, {engine}"
    thawed = samples.values[case, FROZEN, "thawed_usec"]
    whole = samples.values[case, FROZEN, "thawed_first_byte_usec"]
    after = [whole[number_of] - thawed[number_of] for number_of in whole]
    tails = {"until fpm-waker has woken and the kernel has thawed the server": thawed.values(),
             "from then to the first byte": after}
    tails = {words: percentile(values, 0.99) / 1000 for words, values in tails.items()}
    costly = max(tails, key=tails.get)
    return (f"Measured apart, the phase {costly} takes most: {number(tails[costly])} ms, 99th percentile. "
            f"A hot vhost has a 99th percentile of {number(percentiles(samples, case, HOT)[3])} ms here.")


def promises(samples):
    return [Target(f"thaw to first byte, 99th percentile, {words}, ms",
                   percentiles(samples, f"thaw, {engine}", FROZEN)[3], LIMIT_MSEC,
                   shortfall=shortfall(samples, engine))
            for engine, words in TARGETS]


def cumulated(spans):
    spans = sorted(spans)
    return [f"{span / 1000:.4f} {(index + 1) / len(spans):.4f}" for index, span in enumerate(spans)]


def figure(samples, directory):
    lines = [("thaw, docker", HOT, "hot, Docker", "#9aa5b1"), ("thaw, native", HOT, "hot, native", "#52606d"),
             ("thaw, native", FROZEN, "thaw, native", "#1b7837"), ("thaw, docker", FROZEN, "thaw, Docker", "#7fbf7b"),
             ("light wake, native", LIGHT, "light, native", "#2166ac"),
             ("light wake, docker", LIGHT, "light, Docker", "#92c5de"),
             ("thaw, docker", UNPAUSE, "docker unpause", "#d8813a")]
    data = {f"line{index}": cumulated(samples.all(case, peer, "first_byte_usec"))
            for index, (case, peer, _, _) in enumerate(lines)}
    plots = [f'$line{index} using 1:2 with steps lw 2 lc rgb "{colour}" title "{title}"'
             for index, (_, _, title, colour) in enumerate(lines)]
    commands = ('set logscale x\nset xlabel "ms to the first byte"\nset ylabel "share of the requests"\n'
                "set yrange [0:1]\nplot " + ", ".join(plots))
    return draw(directory, "tiers", "First byte: thaw, light wake, hot", commands, data)


def section(samples, directory):
    parts = [INTRO, main_table(samples), to_unpause(samples), phase_table(samples)]
    if directory:
        parts.insert(2, figure(samples, directory))
    return "\n".join(parts), promises(samples)
