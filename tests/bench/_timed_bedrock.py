"""A Bedrock that answers Converse after a set time, one request at a time, and writes down how long each really took.

A process of its own, without any framework: what it adds to what it says is a few microseconds. Each line of its
output is one request's nanoseconds, from the last byte of the request to the answer's being handed to the kernel.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Final

ANSWER: Final = json.dumps(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "word " * 100}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 11, "outputTokens": 100, "totalTokens": 111},
        "metrics": {"latencyMs": 20},
    }
).encode()
HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-amzn-requestid: 4f3c1a2b-0000-4000-8000-5a6b7c8d9e0f\r\n"
    b"date: Wed, 25 Nov 2026 10:00:00 GMT\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
)


def main() -> None:
    """Serve until killed; the first line of the output is the port."""
    model_s = float(sys.argv[1]) / 1000
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                serve(connection, model_s)


def serve(connection: socket.socket, model_s: float) -> None:
    """Answer the requests of one connection."""
    while True:
        received = b""
        while b"\r\n\r\n" not in received:
            part = connection.recv(65_536)
            if not part:
                return
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            body += connection.recv(65_536)
        begun_ns = time.perf_counter_ns()
        time.sleep(model_s)
        connection.sendall(HEAD + ANSWER)
        print(time.perf_counter_ns() - begun_ns, flush=True)


if __name__ == "__main__":
    main()
