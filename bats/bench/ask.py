#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ask.py FILE WORDS SOCKET...: sends the FastCGI request in FILE to each socket, 16 at once, and fails
unless WORDS are in each answer."""
import select
import socket
import sys

AT_ONCE, SECONDS = 16, 120


def connect(path, request):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(SECONDS)
    client.connect(path)
    client.sendall(request)
    return client


def main():
    words, paths = sys.argv[2].encode(), sys.argv[:2:-1]
    with open(sys.argv[1], "rb") as file:
        request = file.read()
    poll, asked = select.poll(), {}
    while paths or asked:
        while paths and len(asked) < AT_ONCE:
            path = paths.pop()
            client = connect(path, request)
            poll.register(client, select.POLLIN)
            asked[client.fileno()] = [client, path, b""]
        ready = poll.poll(SECONDS * 1000)
        if not ready:
            sys.exit(f"ask.py: no answer from {[path for _, path, _ in asked.values()]}")
        for number, _ in ready:
            client, path, answer = asked[number]
            part = client.recv(65536)
            asked[number][2] += part
            if part:
                continue
            if words not in answer:
                sys.exit(f"ask.py: {path}: {answer!r}")
            poll.unregister(number)
            client.close()
            del asked[number]


main()
