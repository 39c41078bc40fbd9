# SPDX-License-Identifier: MIT
"""at-once.py SCRIPT SOCKET...: asks each of these FastCGI servers for a script, all at the same time.
Prints the milliseconds from before the first connect to the first byte of each answer, a line for each
in the order of the sockets. Status 1 if one of them does not answer in full."""
import os
import select
import socket
import struct
import sys
import time

SECONDS = 120
BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6


def record(kind, content):
    return struct.pack("!BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def request(script):
    params = {"SCRIPT_FILENAME": script, "REQUEST_METHOD": "GET",
              "SCRIPT_NAME": "/" + os.path.basename(script)}
    pairs = b"".join(bytes([len(name), len(value)]) + (name + value).encode()
                     for name, value in params.items())
    return (record(BEGIN, b"\0\1\0\0\0\0\0\0") + record(PARAMS, pairs) + record(PARAMS, b"")
            + record(STDIN, b""))


def is_whole(answer):
    """Has the page of the benches, and ends as FastCGI has it, well."""
    text, ended = b"", False
    while len(answer) >= 8:
        _, kind, _, length, padding, _ = struct.unpack("!BBHHBB", answer[:8])
        content, answer = answer[8:8 + length], answer[8 + length + padding:]
        if kind == STDOUT:
            text += content
        elif kind == END:
            ended = content[:5] == b"\0\0\0\0\0"
    return ended and text.endswith(b"\r\n\r\nhello\n")


class Client:
    def __init__(self, path, message):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.socket.sendall(message)
        self.first, self.answer = None, b""

    def read(self, began):
        """False: there will be no more."""
        data = self.socket.recv(65536)
        if data and self.first is None:
            self.first = (time.monotonic() - began) * 1000
        self.answer += data
        return bool(data)


def main():
    message = request(sys.argv[1])
    began = time.monotonic()
    clients = [Client(path, message) for path in sys.argv[2:]]
    poll, open_by_fd = select.poll(), {client.socket.fileno(): client for client in clients}
    for fd in open_by_fd:
        poll.register(fd, select.POLLIN)
    while open_by_fd and time.monotonic() - began < SECONDS:
        for fd, _ in poll.poll(1000):
            if not open_by_fd[fd].read(began):
                poll.unregister(fd)
                del open_by_fd[fd]
    for client, path in zip(clients, sys.argv[2:]):
        if not is_whole(client.answer):
            sys.exit(f"{path}: not the whole page: {client.answer[:300]}")
        print(f"{client.first:.3f}")


main()
