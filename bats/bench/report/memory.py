# SPDX-License-Identifier: MIT
"""What vhosts cost in memory."""
from plot import draw
from targets import Target
from text import number, ratio, spread, table
from samples import Spread

TIERS = ("hot", "frozen", "light", "stopped")
LABELS = {**{f"{engine} {tier}": f"fpm-waker, {words}, {tier}"
             for engine, words in (("native", "native"), ("docker", "Docker")) for tier in TIERS},
          "php-fpm hot": "php-fpm, always on", "ondemand hot": "php-fpm, pm = ondemand, idle",
          "proxy hot": "socket-proxyd + php-fpm, awake", "docker-run hot": "docker run -d, always on",
          "docker-proxy hot": "socket-proxyd + docker run, awake"}
KINDS = ("fpm-waker", "fpm-launcher", "php-fpm", "systemd-socket-proxyd", "containerd-shim", "docker")
HELPERS = ("fpm-waker", "fpm-launcher", "fpm-docker")
ENGINE = ("dockerd", "containerd")
PID1, JOURNAL = "systemd", "systemd-journal"
RATIOS = (("native hot", "php-fpm hot"), ("native hot", "proxy hot"), ("native light", "php-fpm hot"),
          ("native light", "ondemand hot"), ("docker hot", "docker-run hot"), ("docker hot", "docker-proxy hot"),
          ("docker light", "docker-run hot"))
HELPERS_MB = 2
INTRO = """## Memory

That many vhosts at the same time in the same tier, with one small page and Debian's pool (pm = dynamic,
2 workers at first), all on a freshly booted host that has nothing else to do. The figures are PSS: what
processes share counts in equal parts for each of them. pm = ondemand is idle: only its master is there. A
frozen vhost's memory is offered to the kernel, which takes it when it has a better use, and only where there
is a memory controller: this is what it holds as long as nobody else wants it.
"""

PLOT = """All processes of that many vhosts, with what PID 1, the journal and the engine grow by (frozen as hot):

"""


def megabytes(kib):
    return kib * 1024 / 1e6


def mean(samples, case, peer, figure):
    """Of a vhost, of what is there for all of them."""
    return samples.median(case, peer, figure) / int(case) if samples.has(case, peer, figure) else 0.0


def measured(samples, case):
    return [peer for peer in samples.peers(case) if samples.has(case, peer, "processes")]


def labels(samples):
    """The peers of all cases, in the order of LABELS."""
    there = {peer for case in samples.cases() for peer in measured(samples, case)}
    return [peer for peer in LABELS if peer in there]


def largest(samples, peer):
    """The case with most vhosts."""
    return max((case for case in samples.cases() if peer in measured(samples, case)), key=int)


def main_table(samples):
    cases, rows = samples.cases(), []
    for peer in labels(samples):
        row = [LABELS[peer]]
        for case in cases:
            if peer not in measured(samples, case):
                row.append("")
            elif not samples.has(case, peer, "pss_kib"):
                row.append("0")
            else:
                row.append(spread(Spread([megabytes(kib) for kib in samples.all(case, peer, "pss_kib")])))
        rows.append(row)
    return ("A vhost's processes, MB; in parentheses the 10th and the 90th percentile of the vhosts:\n\n"
            + table(["vhosts"] + cases, rows))


def kinds_table(samples):
    rows = []
    for peer in labels(samples):
        case = largest(samples, peer)
        rows.append([f"{LABELS[peer]}, {case}"]
                    + [cell(megabytes(mean(samples, case, peer, f"kib {kind}"))) for kind in KINDS]
                    + [cell(mean(samples, case, peer, "processes"))])
    return ("Of which programs, MB a vhost, and how many processes it has:\n\n"
            + table(["vhosts", *KINDS, "processes"], rows))


def cell(value):
    return number(value) if value else ""


def rest(samples, case, peer):
    """What others have grown by, KiB a vhost: PID 1, the journal, the engine."""
    return [sum(mean(samples, case, peer, f"rest_kib {kind}") for kind in kinds)
            for kinds in ((PID1,), (JOURNAL,), ENGINE)]


def rest_table(samples):
    rows = []
    for peer in labels(samples):
        case = largest(samples, peer)
        rows.append([f"{LABELS[peer]}, {case}"] + [number(kib) for kib in rest(samples, case, peer)]
                    + [number(megabytes(mean(samples, case, peer, "available_kib")))])
    return ("What other processes have grown by, KiB a vhost, and what the machine has less of in all, MB a vhost: "
            "MemAvailable, with all that the kernel needs for it (without files that are on a disk elsewhere, and "
            "without those in the page cache):\n\n"
            + table(["vhosts", "PID 1", "journald", "dockerd, containerd", "MB less of MemAvailable"], rows))


def ratios(samples):
    rows = []
    for peer, base in RATIOS:
        both = [case for case in samples.cases() if samples.has(case, peer, "pss_kib")
                and samples.has(case, base, "pss_kib")]
        if both:
            case = max(both, key=int)
            rows.append([f"{LABELS[peer]} / {LABELS[base]}, {case}",
                         ratio(samples.ratio(case, peer, base, "pss_kib"))])
    return "Ratios, with the spread of the vhosts:\n\n" + table(["vhosts", "PSS"], rows)


def left_out(samples):
    return "".join(
        f"{case} vhosts, {LABELS[peer]}: left out, they would need {number(megabytes(kib) / 1000)} GB.\n"
        for case in samples.cases() for peer in samples.peers(case)
        if samples.has(case, peer, "left_out_kib") for kib in samples.all(case, peer, "left_out_kib"))


def helpers(samples, case):
    sizes = {kind: megabytes(mean(samples, case, "docker hot", f"kib {kind}")) for kind in HELPERS}
    words = ", ".join(f"{kind} {number(size)} MB" for kind, size in sizes.items() if size)
    return Target(f"helpers of a hot Docker vhost of {case}, MB (PSS)", sum(sizes.values()), HELPERS_MB,
                  shortfall=f"It is {words}. " + ("What programs share counts fully where there is only one vhost."
                                                  if case == "1" else ""))


def promises(samples):
    stopped = [(case, peer) for case in samples.cases() for peer in measured(samples, case)
               if peer.endswith(" stopped")]
    return [Target("processes of a stopped vhost",
                   max(mean(samples, case, peer, "processes") for case, peer in stopped), 0,
                   shortfall="There were processes that had not been there before the vhosts were.")] + [
        helpers(samples, case) for case in samples.cases() if "docker hot" in measured(samples, case)]


def beside(samples):
    """The attached client, which fpm-waker does without."""
    peer = "docker-proxy hot"
    if peer not in labels(samples):
        return ""
    case = largest(samples, peer)
    client, proxy, shim = (number(megabytes(mean(samples, case, peer, f"kib {kind}")))
                           for kind in ("docker", "systemd-socket-proxyd", "containerd-shim"))
    return (f"Behind a proxy, the attached `docker run` alone has {client} MB for each of {case} vhosts, and the "
            f"proxy {proxy} MB. The engine's own containerd-shim has {shim} MB, in each of these ways.\n")


def total(samples, case, peer):
    """MB of all vhosts' processes, and of what others have grown by."""
    kinds = [f for f in samples.figures(case, peer) if f.startswith(("kib ", "rest_kib "))]
    return megabytes(sum(samples.median(case, peer, figure) for figure in kinds))


STYLES = {"native": "#1b7837", "docker": "#2166ac", "php-fpm": "#52606d", "ondemand": "#9aa5b1",
          "proxy": "#d8813a", "docker-run": "#762a83", "docker-proxy": "#b2182b"}


def figure(samples, directory):
    data, plots = {}, []
    for index, peer in enumerate(peer for peer in labels(samples) if not peer.endswith(" frozen")):
        group, tier = peer.split(" ")
        points = [(case, total(samples, case, peer)) for case in samples.cases() if peer in measured(samples, case)]
        data[f"line{index}"] = [f"{case} {value:.3f}" for case, value in points if value > 0] or ["1 NaN"]
        plots.append(f'$line{index} using 1:2 with linespoints lw 2 pt 7 ps 0.5 dt {TIERS.index(tier) + 1} '
                     f'lc rgb "{STYLES[group]}" title "{LABELS[peer].replace("fpm-waker, ", "")}"')
    numbers = [int(case) for case in samples.cases()]
    commands = (f"set logscale xy\nset xrange [{min(numbers) * 0.8}:{max(numbers) * 1.25}]\n"
                'set xlabel "vhosts"\nset ylabel "MB"\nset key font ",10"\nplot ' + ", ".join(plots))
    return PLOT + draw(directory, "memory", "Memory of all vhosts", commands, data)


def section(samples, directory):
    parts = [INTRO, main_table(samples), left_out(samples), ratios(samples), kinds_table(samples),
             beside(samples), rest_table(samples)]
    if directory:
        parts.insert(2, figure(samples, directory))
    return "\n".join(part for part in parts if part), promises(samples)
