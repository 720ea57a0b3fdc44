"""A client that is killed: a child process whose life ends after its n-th answer from the API server."""

import os
import threading
import traceback
from collections.abc import Callable
from typing import Any

from kube import Kube

from raystead.kube.access import Access, load
from raystead.kube.api import Api

KILLED = 77


def access_of(user: Kube) -> Access:
    return load(kubeconfig=str(user.kubeconfig), namespace=user.namespace)


class Dying(Api):
    """The API server, until the n-th answer: then the process is gone, as after kill -9."""

    def __init__(self, access: Access, answers: int) -> None:
        super().__init__(access)
        self._left = answers
        self._counting = threading.Lock()

    def _open(self, *words: Any, **more: Any) -> Any:
        response = super()._open(*words, **more)
        with self._counting:
            self._left -= 1
            if self._left <= 0:
                os._exit(KILLED)
        return response


def killed(user: Kube, answers: int, work: Callable[[Api], object]) -> bool:
    """Runs `work` in a child that is killed after so many answers; False when it needed fewer."""
    access = access_of(user)
    child = os.fork()
    if not child:
        code = 1
        try:
            work(Dying(access, answers))
            code = 0
        except BaseException:  # noqa: BLE001  # a child's end: pytest must not see it twice
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), f"killed after {answers} answers it ended by itself with {code}"
    return code == KILLED
