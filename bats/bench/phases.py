#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""phases.py TRACE BEGAN FIRST-BYTE: the phases of a wake, of the kernel's trace and of the client's
times in nanoseconds. Prints lines of figure and microseconds.

A phase begins with the execution of a program, is named after it, and goes on to the next one's. The
first one, systemd, begins with the connection; request, with a worker's first wait for one, and it
ends with the answer's first byte.

Status 1: the trace is not that of a wake.
"""
import os
import re
import sys

LINE = re.compile(r"^\s*.+-(\d+)\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): (\w+)(.*)$")
# Programs that begin a phase, in their order. A runtime creates a container, and starts it later.
PROGRAMS = [
    ("waker", r"fpm-waker"),
    ("engine", r"fpm-docker|docker|curl|podman|systemd-nspawn"),
    ("shim", r"containerd-shim.*|conmon"),
    ("create", r"runc|crun"),
    ("start", r"runc|crun"),
    ("launcher", r"fpm-launcher"),
    ("entrypoint", r"docker-php-entrypoint"),
    ("boot", r"php-fpm.*|php-cgi.*"),
]


def read_trace(path):
    """Yields time in microseconds, process, event, and the event's text."""
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            found = LINE.match(line)
            if found:
                process, seconds, part, event, words = found.groups()
                yield int(seconds) * 1000000 + int(part), int(process), event, words


def value(words, key):
    return re.search(rf"\b{key}=(\S+)", words).group(1)


def phase_of(path, begins):
    """None: it begins none."""
    name = os.path.basename(path)
    for phase, names in PROGRAMS + [("proxy", "systemd-socket-proxyd")]:
        if phase not in begins and re.fullmatch(names, name):
            return phase
    return None


def look(trace, began, ended):
    """When each phase has begun, and when a worker has waited for the first time."""
    begins, servers, children, waits = {}, set(), {}, {}
    for usec, process, event, words in trace:
        if not began <= usec <= ended:
            continue
        if event == "sched_process_exec":
            phase = phase_of(value(words, "filename"), begins)
            if phase:
                begins[phase] = usec
            if phase == "boot":
                servers.add(process)
        elif event == "sched_process_fork":
            children[int(value(words, "child_pid"))] = int(value(words, "pid"))
        elif event.startswith("sys_"):
            waits.setdefault(process, usec)
    workers = [process for process in waits if children.get(process) in servers] or \
        [process for process in waits if process in servers]
    if not workers:
        sys.exit("phases: the trace has no worker of php-fpm")
    times = [begins[phase] for phase, _ in PROGRAMS if phase in begins]
    if times != sorted(times):
        sys.exit(f"phases: not the order in which programs are executed: {begins}")
    begins["request"] = min(waits[process] for process in workers)
    return begins


def phases(begins, began, ended):
    """Of proxies, php-fpm may be ready before them, or a request may wait for both."""
    order = sorted(begins.items(), key=lambda item: item[1])
    names = ["systemd"] + [name for name, _ in order]
    times = [began] + [usec for _, usec in order] + [ended]
    return [(name, after - before) for name, before, after in zip(names, times, times[1:])]


def main():
    began, ended = (int(text) / 1000 for text in sys.argv[2:4])
    begins = look(read_trace(sys.argv[1]), began, ended)
    for name, usec in phases(begins, began, ended):
        print(f"phase_{name}_usec", f"{usec:.1f}")
    print("traced_usec", f"{ended - began:.1f}")


main()
