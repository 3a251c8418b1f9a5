"""A wire to a server that is cut in the middle of a request."""

import socket
import threading
from collections.abc import Callable
from typing import Self


class Wire:
    """A server on a port of its own that hands everything on, until `after` bytes of a PUT that names `what` went by.

    Then it calls `on_cut`, and hands on nothing more.
    """

    def __init__(self, endpoint: str, what: bytes, after: int, on_cut: Callable[[], None]) -> None:
        host, _, port = endpoint.removeprefix("http://").partition(":")
        self._behind, self._what, self._after, self._on_cut = (host, int(port)), what, after, on_cut
        self.cut = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:  # closed
                return
            far = socket.create_connection(self._behind)
            threading.Thread(target=self._forth, args=(near, far), daemon=True).start()
            threading.Thread(target=self._back, args=(far, near), daemon=True).start()

    def _forth(self, near: socket.socket, far: socket.socket) -> None:
        request, passed = b"", 0
        with near, far:
            while data := near.recv(512):
                request = data if data.startswith((b"PUT", b"GET", b"HEAD", b"DELETE")) else request + data
                head = request.partition(b"\r\n\r\n")
                is_it = head[0].startswith(b"PUT") and self._what in head[0].partition(b"\r\n")[0]
                passed = len(head[2]) if is_it else 0
                if passed > self._after:
                    self.cut = True
                    self._on_cut()
                    return
                far.sendall(data)

    def _back(self, far: socket.socket, near: socket.socket) -> None:
        try:
            while data := far.recv(65536):
                near.sendall(data)
        except OSError:  # the other side has gone
            return
