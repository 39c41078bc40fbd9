#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A FastCGI responder in one process on an event loop: it accepts until nobody is left, without
waiting, and works on all requests at once.

event-loop.py ADDRESS [edge]   /PATH or HOST:PORT; with edge it is told of a queue once (EPOLLET)

A request with the query s=SECONDS&n=N takes so long; $OUT/N.began tells when it has begun.
"""
import os
import re
import select
import socket
import struct
import sys
import time

END, STDIN, STDOUT = 3, 5, 6
loop = select.epoll()


class Request:
    def __init__(self, connection):
        self.connection, self.received, self.due = connection, b"", None

    def receive(self):
        data = self.connection.recv(65536)
        self.received += data
        if self.has_come() and self.due is None:
            self.begin()
        return data or self.due is not None

    def has_come(self):
        """The last record is an empty STDIN."""
        return self.received[-8:-6] == bytes((1, STDIN)) and self.received[-4:-2] == b"\0\0"

    def begin(self):
        query = re.search(rb"QUERY_STRINGs=([0-9.]+)&n=([\w-]+)", self.received)
        self.due = time.monotonic() + (float(query[1]) if query else 0)
        if query:
            open(f"{os.environ['OUT']}/{query[2].decode()}.began", "w").close()

    def answer(self):
        body = b"Content-Type: text/plain\r\n\r\nslept\n"
        self.connection.send(struct.pack(">BBHHBx", 1, STDOUT, 1, len(body), 0) + body
                             + struct.pack(">BBHHBx8x", 1, END, 1, 8, 0))


def listen(address, mode):
    family = socket.AF_UNIX
    if not address.startswith("/"):
        host, port = address.rsplit(":", 1)
        family, address = socket.AF_INET, (host, int(port))
    listener = socket.socket(family)
    listener.setblocking(False)
    listener.bind(address)
    listener.listen()
    loop.register(listener, select.EPOLLIN | mode)
    return listener


def accept_all(listener, requests):
    while True:
        try:
            connection = listener.accept()[0]
        except BlockingIOError:
            return
        connection.setblocking(False)
        requests[connection.fileno()] = Request(connection)
        loop.register(connection, select.EPOLLIN)


def run_once(listener, requests):
    due = [request.due for request in requests.values() if request.due is not None]
    for fd, _ in loop.poll(max(0, min(due) - time.monotonic()) if due else None):
        if fd == listener.fileno():
            accept_all(listener, requests)
        elif not requests[fd].receive():
            requests.pop(fd).connection.close()
        elif requests[fd].due is not None:
            loop.modify(fd, 0)
    for fd, request in list(requests.items()):
        if request.due is not None and request.due <= time.monotonic():
            request.answer()
            requests.pop(fd).connection.close()


def main(address, mode=""):
    listener, requests = listen(address, select.EPOLLET if mode == "edge" else 0), {}
    while True:
        run_once(listener, requests)


main(*sys.argv[1:])
