#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""first-byte.py COUNT SOCKET TIER [WHERE]: sends the FastCGI request on stdin COUNT times, each once the
server is in that tier, and prints for each how many microseconds it took until the first byte of the
answer:

  hot                 at once
  frozen CGROUP       when that cgroup is frozen
  thaw CGROUP         the same, and prints also when the kernel had thawed it, seen from here
  light CGROUP        when php-fpm is not in that cgroup, nor below
  unpause CONTAINER   when `docker pause` has returned; `docker unpause` counts
"""
import os
import select
import socket
import subprocess
import sys
import time

PAUSE = 0.02  # seconds in the tier: whoever has brought it there shall be done


def read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:  # a process that has ended
        return ""


def is_frozen(cgroup):
    return "frozen 1" in read(cgroup + "/cgroup.events")


def is_light(cgroup):
    pids = [pid for path, _, _ in os.walk(cgroup) for pid in read(path + "/cgroup.procs").split()]
    return not any(read(f"/proc/{pid}/comm").startswith("php-fpm") for pid in pids)


def reach(tier, where):
    end = time.monotonic() + 30
    is_there = {"frozen": is_frozen, "thaw": is_frozen, "light": is_light}.get(tier, lambda _: True)
    while not is_there(where):
        if time.monotonic() > end:
            sys.exit(f"first-byte.py: it is not {tier}")
        time.sleep(0.005)
    if tier == "unpause":
        docker("pause", where)
    time.sleep(PAUSE)


def docker(verb, container):
    subprocess.run(["docker", verb, container], stdout=subprocess.DEVNULL, check=True)


def until_thawed(cgroup):
    """The kernel tells changes of the file as POLLPRI."""
    end = time.monotonic() + 20
    with open(cgroup + "/cgroup.events", encoding="ascii") as events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while "frozen 1" in events.read():
            if time.monotonic() > end:
                sys.exit("first-byte.py: nobody thaws it")
            poll.poll(1000)
            events.seek(0)


def first_byte(path, request, tier, where):
    """Returns when the answer began and, if that is asked, when the server was thawed; in seconds."""
    spans = []
    began = time.monotonic()
    if tier == "unpause":
        docker("unpause", where)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(path)
        client.sendall(request)
        if tier == "thaw":
            until_thawed(where)
            spans = [time.monotonic() - began]
        if not client.recv(1):
            sys.exit("first-byte.py: no answer")
        spans.insert(0, time.monotonic() - began)
        while client.recv(65536):
            pass
    return spans


def main():
    count, path, tier = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    where = sys.argv[4] if len(sys.argv) > 4 else ""
    request = sys.stdin.buffer.read()
    for _ in range(count):
        reach(tier, where)
        print(*(f"{span * 1e6:.1f}" for span in first_byte(path, request, tier, where)))


main()
