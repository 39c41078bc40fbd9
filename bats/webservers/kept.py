#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A web server's end of a kept-alive FastCGI connection, one step after the other.

kept.py ADDRESS SCRIPT STEP...

  begin:ID[:QUERY]   POST "body" as request ID, but without the record that ends the body
  end:ID             that record
  request:ID[:QUERY] both at once
  answer             reads on until a request ends; prints "end STATUS"
  record             prints the next record, as "stderr 0" is one of no bytes, or "eof"
  rest               all of them
  look               what there is without waiting: "nothing", "input", "eof", or "hangup" if
                     poll(2) says so
  sleep:SECONDS
  touch:FILE         tells a test how far this is
  wait:FILE          and waits for the test
"""
import os
import select
import socket
import struct
import sys
import time

BEGIN, END, PARAMS, STDIN, STDOUT, STDERR = 1, 3, 4, 5, 6, 7
KEEP_CONN = 1
BODY = b"body"


def record(kind, identity, content):
    return struct.pack("!BBHHBx", 1, kind, identity, len(content), 0) + content


def parameters(script, query):
    pairs = {
        b"SCRIPT_FILENAME": script.encode(),
        b"REQUEST_METHOD": b"POST",
        b"QUERY_STRING": query.encode(),
        b"CONTENT_LENGTH": b"%d" % len(BODY),
    }
    return b"".join(bytes([len(name), len(value)]) + name + value for name, value in pairs.items())


def begin(identity, query):
    return (
        record(BEGIN, identity, struct.pack("!HB5x", 1, KEEP_CONN))
        + record(PARAMS, identity, parameters(script, query))
        + record(PARAMS, identity, b"")
        + record(STDIN, identity, BODY)
    )


def read(size):
    """Not a byte more than that; less at the end of file."""
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


def read_record():
    """The kind and content of the next one; None at the end of file."""
    header = read(8)
    if len(header) < 8:
        return None
    _, kind, _, length, padding = struct.unpack("!BBHHBx", header)
    return kind, read(length + padding)[:length]


def answer():
    while True:
        kind, content = read_record()
        if kind == END:
            print("end", content[4])
            return


def print_record():
    got = read_record()
    names = {END: "end", STDOUT: "stdout", STDERR: "stderr"}
    print(f"{names[got[0]]} {len(got[1])}" if got else "eof")
    return got


def look():
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    events = dict(poll.poll(0)).get(connection.fileno(), 0)
    if events & ~select.POLLIN:
        print("hangup")
    elif not events:
        print("nothing")
    else:
        print("input" if connection.recv(1, socket.MSG_PEEK) else "eof")


address, script, *steps = sys.argv[1:]
if address.startswith("/"):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
else:
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))
connection.settimeout(20)

for step in steps:
    verb, *words = step.split(":", 2)
    if verb in ("begin", "end", "request"):
        identity = int(words[0])
        first = begin(identity, words[1] if len(words) > 1 else "")
        last = record(STDIN, identity, b"")
        connection.sendall({"begin": first, "end": last, "request": first + last}[verb])
    elif verb == "answer":
        answer()
    elif verb == "record":
        print_record()
    elif verb == "rest":
        while print_record():
            pass
    elif verb == "look":
        look()
    elif verb == "sleep":
        time.sleep(float(words[0]))
    elif verb == "touch":
        open(words[0], "w").close()
    elif verb == "wait":
        while not os.path.exists(words[0]):
            time.sleep(0.005)
    sys.stdout.flush()
