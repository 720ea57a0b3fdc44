"""What proves who we are: tokens, passwords and certificates, from the kubeconfig, from files, from a plugin.

Files are read again after a minute and after a refusal, as they are rotated under a long command; a plugin is
run again when what it gave has expired or was refused. No value ever stands in a message.
"""

from __future__ import annotations

import base64
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raystead.errors import KubeConfigError
from raystead.kube.access.kubeconfig import blob, contents

if TYPE_CHECKING:
    from raystead.kube.access.plugins import Plugin

__all__ = ["Credentials", "Login", "checked"]

Json = dict[str, Any]
_FRESH = 60.0  # seconds after which a file is read again, as client-go does


@dataclass(frozen=True)
class Login:
    """What is shown to the API server at this moment.

    Attributes:
        authorization: the header of that name.
        certificate: a client's certificate with its chain, and its key, both PEM.
    """

    authorization: str | None = field(default=None, repr=False)
    certificate: tuple[bytes, bytes] | None = field(default=None, repr=False)


class Credentials:
    """One user's credentials; threads may share them.

    Args:
        user: a kubeconfig's user, with whole paths.
        whose: names the user in messages.
        plugin: gives what the user's entry does not.
    """

    def __init__(self, user: Json | None = None, whose: str = "", plugin: Plugin | None = None) -> None:
        self._user = user or {}
        self._whose = whose
        self._plugin = plugin
        self._lock = threading.Lock()
        self._login: Login | None = None
        self._read_at = 0.0

    def login(self) -> Login:
        """The login of this moment.

        Raises:
            KubeConfigError: a file cannot be read, a token cannot be sent, or the plugin failed.
        """
        with self._lock:
            if self._login is None or self._is_old():
                self._renew()
            assert self._login is not None
            return self._login

    def refused(self, login: Login) -> bool:
        """The server answered 401 to `login`: whether there is another one now, worth one more attempt."""
        with self._lock:
            if self._login != login:  # another thread was here first
                return True
            if self._plugin is None and not self._from_files:
                return False
            self._renew(refused=True)
            return self._login != login

    @property
    def _from_files(self) -> bool:
        return bool(self._user.get("tokenFile") or self._user.get("client-certificate"))

    def _is_old(self) -> bool:
        if self._plugin is not None and self._plugin.expired():
            return True
        return self._from_files and time.monotonic() - self._read_at > _FRESH

    def _renew(self, *, refused: bool = False) -> None:
        self._read_at = time.monotonic()
        try:
            login = self._from_entry()
        except KubeConfigError:
            if self._login is None:
                raise
            return  # half written just now, perhaps: what was good goes on
        if self._plugin is not None and login.authorization is None:
            given = self._plugin.login(again=refused)
            certificate = given.certificate or login.certificate
            login = Login(given.authorization, certificate)
        self._login = login

    def _from_entry(self) -> Login:
        """What the user's own entry says, the plugin left out."""
        user, login = self._user, Login()
        if user.get("tokenFile"):
            path = Path(user["tokenFile"])
            try:
                token = contents(path).decode()
            except (OSError, ValueError) as error:  # a name with a NUL, bytes that are no text
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                if not user.get("token"):
                    raise self._unusable(f"tokenFile {path}: {reason}") from None
                token = user["token"]
            login = replace(login, authorization=f"Bearer {self._checked(token, f'the token in {path}')}")
        elif user.get("token"):
            login = replace(login, authorization=f"Bearer {self._checked(user['token'], 'its token')}")
        elif user.get("username") or user.get("password"):
            pair = f"{user.get('username') or ''}:{user.get('password') or ''}".encode()
            login = replace(login, authorization=f"Basic {base64.b64encode(pair).decode()}")
        try:
            certificate, key = blob(user, "client-certificate"), blob(user, "client-key")
        except (OSError, ValueError) as error:
            raise self._unusable(str(error)) from None
        if certificate and key:
            login = replace(login, certificate=(certificate, key))
        return login

    def _checked(self, token: str, what: str) -> str:
        try:
            return checked(token)
        except ValueError as error:
            raise self._unusable(f"{what} {error}") from None

    def _unusable(self, evidence: str) -> KubeConfigError:
        return KubeConfigError(
            f'the credentials of the user "{self._whose}" cannot be used',
            evidence=evidence,
            remedy="log in again, as you do for kubectl",
        )


def checked(token: str) -> str:
    """A token without the white space around it.

    Raises:
        ValueError: no header may carry it; says why, and nothing of the token.
    """
    token = token.strip()
    if not token:
        raise ValueError("is empty")
    if any(ord(character) < 32 or ord(character) == 127 for character in token):
        raise ValueError("holds a line break or another control character")
    return token
