#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""stream.py - the streams of Exec, Attach and PortForward, as kubectl opens them, over a WebSocket (RFC 6455).

    stream.py URL [TEXT]            sends TEXT as standard input; prints what comes, until the server closes
    stream.py --port URL [TEXT]     the same for a forwarded port

A message begins with the number of its channel: 0 input, 1 output, 2 errors, 3 the result; of a forwarded port 0 is the
data and 1 errors, and the first message of each is the port. Ends with status 1 if the result is a failure.
"""
import base64
import json
import os
import socket
import struct
import sys
import urllib.parse


def connect(url):
    parts = urllib.parse.urlparse(url)
    stream = socket.create_connection((parts.hostname, parts.port), timeout=60)
    stream.sendall((f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
                    "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n").encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = stream.recv(1)
        if not byte:
            break
        answer += byte
    if b" 101 " not in answer.split(b"\r\n")[0]:
        raise SystemExit(f"stream.py: {answer.decode(errors='replace')}{stream.recv(4096).decode(errors='replace')}")
    return stream


def send(stream, channel, data):
    payload = bytes([channel]) + data
    mask = os.urandom(4)
    masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    length = len(payload)
    header = bytes([0x82, 0x80 | length]) if length < 126 else struct.pack("!BBH", 0x82, 0x80 | 126, length)
    stream.sendall(header + mask + masked)


def read_exactly(stream, count):
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            return None
        data += part
    return data


def messages(stream):
    """Whole ones, until the server closes."""
    message = b""
    while True:
        header = read_exactly(stream, 2)
        if not header:
            return
        length = header[1] & 0x7F
        if length >= 126:
            length = int.from_bytes(read_exactly(stream, 2 if length == 126 else 8), "big")
        data = read_exactly(stream, length) if length else b""
        if data is None or header[0] & 0x0F == 8:
            return
        if header[0] & 0x0F > 8:
            continue
        message += data
        if header[0] & 0x80:
            if message:
                yield message[0], message[1:]
            message = b""


def main(args):
    is_port = args[0] == "--port"
    if is_port:
        args = args[1:]
    stream = connect(args[0])
    if len(args) > 1:
        send(stream, 0, args[1].encode().decode("unicode_escape").encode("latin-1"))
    status, first = 0, {0, 1} if is_port else set()
    for channel, data in messages(stream):
        if channel in first:
            first.discard(channel)  # the port's number
        elif is_port or channel < 3:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            if is_port and channel == 1 and data:
                status = 1
        elif channel == 3 and data:
            result = json.loads(data)
            if result.get("status") != "Success":
                print(result.get("message"))
                status = 1
    return status


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1:]))
