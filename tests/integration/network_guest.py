"""A stand-in for a container, as far as its network goes: a process in a network namespace of its own.

It is told what to do by lines of JSON on its standard input and answers each with one line: `{"steps": […]}`
runs a plan's steps, `{"serve": ["tcp", 80, "web"]}` tells everybody who asks the address that it sees, and
`{"ask": ["tcp", "172.17.0.2", 80]}` asks such a server. At the end of the input it goes.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from typing import Any

import cutaway.linux.netlink  # noqa: F401 - the steps register themselves
from cutaway.linux.kernel import Kernel
from cutaway.linux.step import Context, step_from_json

CLONE_NEWNET = 0x40000000
PATIENCE = 3.0
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def serve(protocol: str, port: int, name: str) -> None:
    """Answer in the background, for as long as the guest lives."""
    server = socket.socket(socket.AF_INET, KINDS[protocol])
    server.bind(("0.0.0.0", port))
    if protocol == "tcp":
        server.listen()
    threading.Thread(target=_answer, args=(protocol, server, name), daemon=True).start()


def _answer(protocol: str, server: socket.socket, name: str) -> None:
    while True:
        if protocol == "tcp":
            connection, (address, _) = server.accept()
            with connection:
                connection.sendall(f"{name} sees {address}".encode())
        else:
            _, peer = server.recvfrom(100)
            server.sendto(f"{name} sees {peer[0]}".encode(), peer)


def ask(protocol: str, address: str, port: int) -> str:
    """What the server says; an error's name when it cannot be reached."""
    try:
        with socket.socket(socket.AF_INET, KINDS[protocol]) as client:
            client.settimeout(PATIENCE)
            client.connect((address, port))
            if protocol == "udp":
                client.send(b"?")
            return client.recv(100).decode()
    except OSError as error:
        return type(error).__name__


def main() -> None:
    """Live in a new network namespace until the input ends."""
    kernel = Kernel()
    kernel.unshare(CLONE_NEWNET)
    _tell("ready")
    for line in sys.stdin:
        ((verb, what),) = json.loads(line).items()
        _tell(_do(kernel, verb, what))


def _tell(answer: str) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _do(kernel: Kernel, verb: str, what: Any) -> str:
    if verb == "steps":
        for step in what:
            step_from_json(step).execute(Context(kernel))
        return "done"
    if verb == "serve":
        serve(*what)
        return "done"
    return ask(*what)


if __name__ == "__main__":
    main()
