#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""first-byte.py N FREEZER SOCKET: sends the FastCGI request on stdin N times, each once the cgroup at
FREEZER is frozen, and prints how long it took until the first byte of the answer, in milliseconds."""
import socket
import sys
import time

count, freezer, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
request = sys.stdin.buffer.read()


def is_frozen():
    with open(freezer + "/cgroup.events", encoding="ascii") as events:
        return "frozen 1" in events.read()


def first_byte():
    end = time.monotonic() + 30
    while not is_frozen():
        if time.monotonic() > end:
            sys.exit("it is not frozen any more")
        time.sleep(0.005)
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(path)
        client.sendall(request)
        if not client.recv(1):
            sys.exit("no answer")
        took = time.monotonic() - began
        while client.recv(65536):
            pass
    return took * 1000


spans = sorted(first_byte() for _ in range(count))
print("thaw to first byte, %d times: p50 %.2f ms, p99 %.2f ms, worst %.2f ms" %
      (count, spans[count // 2], spans[count * 99 // 100], spans[-1]))
