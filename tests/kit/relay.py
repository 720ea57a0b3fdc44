"""A way to the API server that can be cut: for outages that only one test is to feel."""

import contextlib
import socket
import struct
import threading
import time


class Relay:
    """Carries connections to a port of this machine until `freeze` or `refuse`."""

    def __init__(self, target: int) -> None:
        self.carried = 0  # connections so far
        self.answered = 0  # bytes that the server sent so far
        self._target, self._frozen = target, threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """From now on nothing moves: a server that is stopped, a network that swallows."""
        self._frozen.set()

    def refuse(self) -> None:
        """From now on there is nobody: what was open is reset, what comes is refused."""
        self._frozen.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)
                one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._listening.accept()
                self.carried += 1
                self._open.append(one)
                if self._frozen.is_set():
                    continue
                other = socket.create_connection(("127.0.0.1", self._target))
                self._open.append(other)
                for pair in ((one, other, False), (other, one, True)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                while self._frozen.is_set():
                    time.sleep(3600)
                sink.sendall(data)
                self.answered += len(data) if answer else 0
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
