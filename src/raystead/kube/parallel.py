"""Several requests at once. Their threads hold up neither an interrupt nor the program's end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["parallel"]

T = TypeVar("T")
R = TypeVar("R")
WORKERS = 8  # requests at once: the server's own limits are higher, a laptop's patience is not


def parallel(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The results in the order of `items`; the first error in that order, once all have been tried."""
    work = list(enumerate(items))
    if len(work) < 2:
        return [function(item) for _, item in work]
    todo: queue.SimpleQueue[tuple[int, T]] = queue.SimpleQueue()
    for one in work:
        todo.put(one)
    done: queue.SimpleQueue[tuple[int, R | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        while True:
            try:
                index, item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, function(item), None))
            except BaseException as error:  # noqa: BLE001  # a thread's end: handed to who waits
                done.put((index, None, error))

    for _ in range(min(WORKERS, len(work))):
        threading.Thread(target=run, name="request", daemon=True).start()
    answers = sorted((done.get() for _ in work), key=lambda answer: answer[0])
    for _, _, error in answers:
        if error is not None:
            raise error
    return [result for _, result, _ in answers]  # type: ignore[misc]
