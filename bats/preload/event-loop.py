#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A FastCGI responder in one process on an event loop: it accepts until nobody is left, without
waiting, and works on all requests at once.

event-loop.py ADDRESS    /PATH or HOST:PORT. A request with the query s=SECONDS&n=N takes so long;
                         OUT/N.began tells when it has begun, OUT being the variable of that name.
"""
import asyncio
import os
import struct
import sys

BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6


async def next_record(reader):
    _, kind, identity, size, padding = struct.unpack(">BBHHBx", await reader.readexactly(8))
    return kind, identity, (await reader.readexactly(size + padding))[:size]


def next_size(data, at):
    if data[at] < 128:
        return data[at], at + 1
    return struct.unpack_from(">I", data, at)[0] & 0x7FFFFFFF, at + 4


def decode(data):
    at, found = 0, {}
    while at < len(data):
        name_size, at = next_size(data, at)
        size, at = next_size(data, at)
        found[data[at : at + name_size].decode()] = data[at + name_size : at + name_size + size].decode()
        at += name_size + size
    return found


async def answer(reader, writer):
    params, kind, content = b"", BEGIN, b"-"
    try:
        while kind != STDIN or content:
            kind, identity, content = await next_record(reader)
            params += content if kind == PARAMS else b""
        query = decode(params).get("QUERY_STRING", "")
        if query:
            seconds, name = (word.split("=")[1] for word in query.split("&"))
            open(f"{os.environ['OUT']}/{name}.began", "w").close()
            await asyncio.sleep(float(seconds))
        body = b"Content-Type: text/plain\r\n\r\nslept\n"
        writer.write(struct.pack(">BBHHBx", 1, STDOUT, identity, len(body), 0) + body)
        writer.write(struct.pack(">BBHHBx8x", 1, END, identity, 8, 0))
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client has gone
    writer.close()


async def main(address):
    if address.startswith("/"):
        server = await asyncio.start_unix_server(answer, address)
    else:
        host, port = address.rsplit(":", 1)
        server = await asyncio.start_server(answer, host, int(port))
    await server.serve_forever()


asyncio.run(main(sys.argv[1]))
