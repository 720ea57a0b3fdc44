"""Which credentials are meant: flags, KUBECONFIG, the home directory, else the pod's ServiceAccount."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from raystead.errors import KubeConfigError, UsageError
from raystead.kube.access import kubeconfig as files
from raystead.kube.access.access import Access, Impersonation
from raystead.kube.access.credentials import Credentials
from raystead.kube.access.proxies import Proxy, parsed

__all__ = ["configured", "load"]

Json = dict[str, Any]
_POD_FILES = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class _As(NamedTuple):
    """The flags --as, --as-group and --as-uid."""

    user: str | None
    groups: tuple[str, ...]
    uid: str | None

    def over(self, user: Json) -> Impersonation | None:
        """Whom to act as: each flag wins over what the kubeconfig's user says.

        Raises:
            UsageError: a group or uid, and nobody to act as.
        """
        name = self.user or user.get("as")
        groups = self.groups or tuple(user.get("as-groups") or ())
        uid = self.uid or user.get("as-uid") or ""
        extra = tuple((str(k), tuple(v)) for k, v in (user.get("as-user-extra") or {}).items())
        if not name:
            if groups or uid:
                raise UsageError(
                    "--as-group and --as-uid need --as: a group or uid alone cannot be impersonated",
                    remedy="--as USER --as-group GROUP",
                )
            return None
        for text in (name, *groups, uid, *(v for _, values in extra for v in values)):
            if any(ord(character) < 32 or ord(character) == 127 for character in text):
                raise UsageError(f"{text!r} cannot be impersonated: it holds a control character")
        return Impersonation(name, groups, uid, extra)


def configured() -> bool:
    """Whether there is any way to an API server here: a kubeconfig file, or a pod's ServiceAccount."""
    return bool(files.paths(None) or _in_pod())


def unconfigured() -> str:
    """Why there is no way to an API server, "no kubeconfig at ~/.kube/config"; "" where there is one."""
    return "" if configured() else f"no kubeconfig at {files.sought(None)}"


def load(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    namespace: str | None = None,
    as_user: str | None = None,
    as_groups: Iterable[str] = (),
    as_uid: str | None = None,
) -> Access:
    """Reads the kubeconfig (flag, KUBECONFIG, ~/.kube/config), else the pod's ServiceAccount.

    Raises:
        KubeConfigError: there is none, it cannot be read, it lacks the context, or its login plugin failed.
    """
    found = files.paths(kubeconfig)
    who = _As(as_user, tuple(as_groups), as_uid)
    chosen = files.choose(found, context) if found else None
    if chosen is not None:
        return _from_kubeconfig(chosen, namespace, who)
    if not (context or kubeconfig) and _in_pod():
        return _from_pod(namespace, who)
    if found:
        raise KubeConfigError(
            "the kubeconfig is empty",
            evidence=f"{os.pathsep.join(map(str, found))}: no context, no cluster and no user",
            remedy="--kubeconfig FILE or KUBECONFIG=FILE; without Kubernetes: raystead up --local",
        )
    raise KubeConfigError(
        "there is no kubeconfig",
        evidence=f"no file at {files.sought(kubeconfig)}{'' if _in_pod() else ', and this is not a pod'}",
        remedy="--kubeconfig FILE or KUBECONFIG=FILE; without Kubernetes: raystead up --local",
    )


def _from_kubeconfig(chosen: files.Chosen, namespace: str | None, who: _As) -> Access:
    cluster, user = chosen.cluster, chosen.user
    wrong: list[str] = []
    plugin = None
    if user.get("exec") is not None:
        from raystead.kube.access import plugins

        wrong += plugins.problems(chosen.user_name, user["exec"])
        plugin = plugins.Plugin(user["exec"], cluster) if not wrong else None
    proxy: Proxy | None = None
    if cluster["proxy-url"]:
        try:
            proxy = parsed(cluster["proxy-url"])
        except ValueError as error:
            wrong.append(f"the proxy-url of its cluster cannot be used: {error}")
    authority = files.blob(cluster, "certificate-authority")
    insecure = bool(cluster.get("insecure-skip-tls-verify"))
    server = cluster["server"]
    try:
        server = _whole(server)
    except ValueError as error:
        wrong.append(f"the server of its cluster cannot be used: {error}")
    if wrong:
        raise files.unusable(chosen.shown, "; ".join(wrong))
    impersonate = who.over(user)
    if server.startswith("https"):
        credentials = Credentials(user, chosen.user_name, plugin)
    else:  # in the clear nobody says who they are, as in kubectl: what listens on the way would learn it
        credentials, impersonate = Credentials(), None
    access = Access(
        server,
        namespace or chosen.namespace,
        chosen.context,
        credentials,
        impersonate,
        proxy,
        cluster["tls-server-name"] or None,
        authority,
        insecure,
    )
    access.ssl_context(access.login())  # what cannot work is told before any request
    return access


def _whole(server: str) -> str:
    """The address with its scheme, which is plain HTTP where none is given, and without a slash at its end.

    Raises:
        ValueError: it is not an address.
    """
    if "://" not in server:
        server = f"http://{server}"
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f'expected http:// or https://, got "{parts.scheme}://"')
    if not parts.hostname:
        raise ValueError("it names no host")
    _ = parts.port  # raises ValueError itself
    return server.rstrip("/")


def _in_pod() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (_POD_FILES / "token").is_file()


def _from_pod(namespace: str | None, who: _As) -> Access:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    try:
        own = (_POD_FILES / "namespace").read_text().strip()
        authority = (_POD_FILES / "ca.crt").read_bytes()
        access = Access(
            f"https://{f'[{host}]' if ':' in host else host}:{port}",
            namespace or own,
            "in-cluster",
            Credentials({"tokenFile": str(_POD_FILES / "token")}, "ServiceAccount"),
            who.over({}),
            authority=authority,
        )
        access.ssl_context(access.login())
    except (OSError, KubeConfigError) as error:
        raise KubeConfigError(
            "this pod's ServiceAccount cannot be used",
            evidence=error.evidence if isinstance(error, KubeConfigError) else str(error),
            remedy="automountServiceAccountToken: true, or --kubeconfig FILE",
        ) from error
    return access
