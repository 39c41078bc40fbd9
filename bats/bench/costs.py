#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What vhosts cost a machine on which nothing else happens. `docker ps --no-trunc --format '{{.ID}}
{{.Names}}'` is on stdin.

  costs.py                      prints what there is, for later
  costs.py BEFORE CASE PEER     prints samples of what there is beyond that

A process is that of vhost N if it is in the cgroup of a unit NAME@vN.service, or of a container whose
name ends in vN, or if its command line has such a container's ID. All others are the rest: PID 1,
the engine and so on. This program's own service counts nowhere.
"""
import os
import re
import sys

ID = re.compile("[0-9a-f]{64}")
UNIT = re.compile(r"@v(\d+)\.service")
MEMORY_FILES = ("/", "/var/lib/docker")  # in a bed they are in memory, which they are not elsewhere


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def containers():
    """{ID: number of the vhost}"""
    found = [re.match(r"(\w+) .*v(\d+)$", line) for line in sys.stdin]
    return {match[1]: match[2] for match in found if match}


def vhost_of(process, cgroup, vhosts):
    unit = UNIT.search(cgroup)
    if unit:
        return unit[1]
    container = ID.search(cgroup) or ID.search(read(process + "/cmdline"))
    return vhosts.get(container[0]) if container else None


def kind_of(process):
    """The program's name. What is named php-fpm8.2 or php-fpm8.4 is php-fpm."""
    name = read(process + "/comm").strip()
    return re.sub("^php-fpm.*", "php-fpm", {"systemd-socket-": "systemd-socket-proxyd"}.get(name, name))


def processes():
    """PID and time of the start, vhost or "-", kind, PSS in KiB; of each process that is there."""
    own, vhosts = read("/proc/self/cgroup").splitlines()[-1], containers()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        process = "/proc/" + pid
        try:
            cgroup = read(process + "/cgroup").splitlines()[-1]
            if cgroup.startswith(own):
                continue
            pss = re.search(r"^Pss:\s+(\d+)", read(process + "/smaps_rollup"), re.M)
            started = read(process + "/stat").rpartition(")")[2].split()[19]
            yield [pid + "." + started, vhost_of(process, cgroup, vhosts) or "-", kind_of(process),
                   int(pss[1]) if pss else 0]
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended


def available():
    """KiB that the machine could give out, if files were on a disk."""
    kib = int(re.search(r"MemAvailable:\s+(\d+)", read("/proc/meminfo"))[1])
    for path in MEMORY_FILES:
        status = os.statvfs(path)
        kib += (status.f_blocks - status.f_bfree) * status.f_frsize // 1024
    return kib


def add(sums, key, value):
    sums[key] = sums.get(key, 0) + value


def compare(before, case, peer):
    lines = [line.split("\t") for line in read(before).splitlines()]
    available_before, there_before = int(lines[0][1]), {line[0] for line in lines[1:]}
    rest, of_kind, count, of_vhost, new = {}, {}, {}, {}, 0
    for _, vhost, kind, pss in lines[1:]:
        add(rest, kind, -int(pss))
    available_now = available()
    for process, vhost, kind, pss in processes():
        new += process not in there_before
        if vhost == "-":
            add(rest, kind, pss)
        else:
            add(of_kind, kind, pss)
            add(count, kind, 1)
            add(of_vhost, vhost, pss)
    for vhost, pss in of_vhost.items():
        print(case, peer, vhost, "pss_kib", pss, sep="\t")
    figures = {"available_kib": available_before - available_now, "processes": new}
    for name, sums in (("kib", of_kind), ("count", count), ("rest_kib", rest)):
        figures.update({f"{name} {kind}": value for kind, value in sums.items()})
    for figure, value in figures.items():
        print(case, peer, "all", figure, value, sep="\t")


def main():
    if len(sys.argv) == 4:
        compare(*sys.argv[1:])
    else:
        print("available", available(), sep="\t")
        for process in processes():
            print(*process, sep="\t")


main()
