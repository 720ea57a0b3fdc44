"""Who we are and where: kubeconfig as kubectl reads it, or the ServiceAccount of the pod we run in.

Credentials come from the official client's loader (every auth plugin). Two of its faults are kept from our
users: a failing exec plugin is an error with the plugin's own words (it logs and goes on without
credentials), and of several KUBECONFIG files the first current-context wins, as in kubectl (it takes the
last).
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from raystead.errors import KubeConfigError

__all__ = ["Access", "configured", "load"]

_POD_FILES = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_HOME_CONFIG = "~/.kube/config"


@dataclass
class Access:
    """One user at one API server in one namespace.

    Attributes:
        server: address of the API server, "https://host:port[/prefix]".
        namespace: chosen by flag, else the context's, else the pod's, else "default".
        context: name of the kubeconfig's context; "in-cluster" in a pod.
    """

    server: str
    namespace: str
    context: str
    configuration: Any = field(repr=False)  # kubernetes.client.Configuration
    impersonate: tuple[str, tuple[str, ...]] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def headers(self) -> dict[str, str]:
        """Authorization and impersonation; renews a token that is due."""
        with self._lock:
            token = self.configuration.get_api_key_with_prefix("BearerToken")
        out = {"Authorization": token} if token else {}
        if self.impersonate:
            out["Impersonate-User"] = self.impersonate[0]
        return out

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups to impersonate; a header that repeats, so it cannot stand in `headers`."""
        return self.impersonate[1] if self.impersonate else ()

    @property
    def proxy(self) -> str | None:
        """The proxy's address, unless no_proxy lets this server past it."""
        from kubernetes.client.rest import should_bypass_proxies

        proxy: str | None = self.configuration.proxy
        excluded = self.configuration.no_proxy
        if proxy and excluded and should_bypass_proxies(self.server, excluded):
            return None
        return proxy

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS settings for connections that the official client does not make; None for plain HTTP."""
        if not self.server.startswith("https"):
            return None
        said = self.configuration
        context = ssl.create_default_context(cafile=said.ssl_ca_cert or None)
        if not said.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if said.cert_file:
            context.load_cert_chain(said.cert_file, said.key_file)
        return context

    @property
    def server_name(self) -> str | None:
        """The name the server's certificate is checked against, where it is not the address's."""
        name: str | None = getattr(self.configuration, "tls_server_name", None)
        return name


def configured(kubeconfig: str | None = None) -> bool:
    """Whether there is any way to an API server here: a kubeconfig file, or a pod's ServiceAccount."""
    return bool(kubeconfig or _files(None) or _in_pod())


def load(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    namespace: str | None = None,
    as_user: str | None = None,
    as_groups: tuple[str, ...] = (),
) -> Access:
    """Reads the kubeconfig (flag, KUBECONFIG, ~/.kube/config), else the pod's ServiceAccount.

    Raises:
        KubeConfigError: there is none, it cannot be read, it lacks the context, or its exec plugin failed.
    """
    files = _files(kubeconfig)
    impersonate = (as_user, as_groups) if as_user else None
    if not files and not (context or kubeconfig) and _in_pod():
        return _from_pod(namespace, impersonate)
    if not files:
        raise KubeConfigError(
            "there is no kubeconfig",
            evidence=f"no file at {_sought(kubeconfig)}{'' if _in_pod() else ', and this is no pod'}",
            remedy="--kubeconfig FILE or KUBECONFIG=FILE; without Kubernetes: raystead up --local",
        )
    return _from_files(files, context, namespace, impersonate)


def _sought(kubeconfig: str | None) -> str:
    return kubeconfig or os.environ.get("KUBECONFIG") or _HOME_CONFIG


def _files(kubeconfig: str | None) -> list[Path]:
    said = _sought(kubeconfig)
    parts = [said] if kubeconfig else said.split(os.pathsep)
    return [path for part in parts if part and (path := Path(part).expanduser()).is_file()]


def _in_pod() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (_POD_FILES / "token").is_file()


def _from_pod(namespace: str | None, impersonate: tuple[str, tuple[str, ...]] | None) -> Access:
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_incluster_config

    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)
        own = (_POD_FILES / "namespace").read_text().strip()
    except (ConfigException, OSError) as error:
        raise KubeConfigError(
            "this pod's ServiceAccount cannot be used",
            evidence=str(error),
            remedy="automountServiceAccountToken: true, or --kubeconfig FILE",
        ) from error
    return Access(configuration.host, namespace or own, "in-cluster", configuration, impersonate)


def _from_files(
    files: list[Path],
    context: str | None,
    namespace: str | None,
    impersonate: tuple[str, tuple[str, ...]] | None,
) -> Access:
    import yaml
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException
    from kubernetes.config.kube_config import KubeConfigMerger

    shown = os.pathsep.join(map(str, files))
    try:
        merged = KubeConfigMerger(shown).config
        chosen = context or _first_current_context(files)
        _contexts_must_hold(merged.value, chosen, shown)
        # None: relative paths count from the file they stand in, as in kubectl
        loader = _loader_class()(config_dict=merged, active_context=chosen, config_base_path=None)
        _user_must_be_there(loader, chosen)
        configuration = Configuration()
        loader.load_and_set(configuration)
    except (ConfigException, yaml.YAMLError, OSError, AttributeError, KeyError, TypeError) as error:
        raise KubeConfigError(
            f"the kubeconfig {shown} cannot be used",
            evidence=str(error) or type(error).__name__,
            remedy="kubectl config view",
        ) from error
    inner = loader.current_context.get("context") or {}
    own = inner.get("namespace") or "default"
    user = loader.user_entry
    if impersonate is None and user.get("as"):
        impersonate = (user["as"], tuple(user.get("as-groups") or ()))
    return Access(configuration.host, namespace or own, chosen or "", configuration, impersonate)


def _first_current_context(files: list[Path]) -> str | None:
    import yaml

    for path in files:
        said = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if isinstance(said, dict) and said.get("current-context"):
            return str(said["current-context"])
    return None


def _contexts_must_hold(config: dict[str, Any], chosen: str | None, shown: str) -> None:
    there = [str(item["name"]) for item in config.get("contexts") or []]
    listed = ", ".join(there) or "none"
    if chosen is None:
        raise KubeConfigError(
            "the kubeconfig has no current context",
            evidence=f"{shown} has the contexts: {listed}",
            remedy="--context NAME or kubectl config use-context NAME",
        )
    if chosen not in there:
        raise KubeConfigError(
            f'the kubeconfig has no context "{chosen}"',
            evidence=f"{shown} has the contexts: {listed}",
            remedy="--context NAME",
        )


def _user_must_be_there(loader: Any, chosen: str | None) -> None:
    """The official loader goes on without credentials where a context names a user that is not there."""
    named = (loader.current_context.get("context") or {}).get("user")
    if named and not loader.user_entry:
        raise KubeConfigError(
            f'the kubeconfig has no user "{named}"',
            evidence=f'its context "{chosen}" names it',
            remedy="kubectl config view",
        )


def _loader_class() -> Any:
    """The official loader, but a failing exec plugin is an error; made late, for its import takes 0.4 s."""
    from kubernetes.config.dateutil import parse_rfc3339
    from kubernetes.config.kube_config import FileOrData, KubeConfigLoader

    class Loader(KubeConfigLoader):
        @property
        def user_entry(self) -> dict[str, Any]:
            return dict(getattr(self._user, "value", None) or {})

        def _load_from_exec_plugin(self) -> bool | None:
            if not self._user or "exec" not in self._user:
                return None
            cluster: Any = self._cluster
            own: Any = self
            base = own._get_base_path(cluster.path)
            status = _run_plugin(self._user["exec"].value, base, cluster.value)
            if status.get("token"):
                self.token = f"Bearer {status['token']}"
            for name, key in (("cert_file", "clientCertificateData"), ("key_file", "clientKeyData")):
                if status.get(key):
                    data = FileOrData(status, None, data_key_name=key, base64_file_content=False)
                    setattr(self, name, data.as_file())
            if status.get("expirationTimestamp"):
                self.expiry = parse_rfc3339(status["expirationTimestamp"])
            return True

    return Loader


def _run_plugin(said: dict[str, Any], cwd: str, cluster: dict[str, Any]) -> dict[str, Any]:
    """Runs an exec credential plugin; its stderr is passed on to a terminal and kept for the error."""
    import json

    command = [str(said.get("command") or ""), *map(str, said.get("args") or [])]
    if os.sep in command[0] and not Path(command[0]).is_absolute():
        command[0] = str(Path(cwd) / command[0])  # kubectl: relative to the kubeconfig
    terminal = sys.stdin is not None and sys.stdin.isatty() and said.get("interactiveMode") != "Never"
    spec: dict[str, Any] = {"interactive": terminal}
    if said.get("provideClusterInfo"):
        spec["cluster"] = {k: v for k, v in cluster.items() if k != "extensions"}
        for extension in cluster.get("extensions") or []:
            if extension["name"] == "client.authentication.k8s.io/exec":
                spec["cluster"]["config"] = extension["extension"]
    info = {"apiVersion": said.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
    env = {**os.environ, **{e["name"]: e["value"] for e in said.get("env") or []}}
    env["KUBERNETES_EXEC_INFO"] = json.dumps(info)
    try:
        process = subprocess.Popen(
            command,
            stdin=None if terminal else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
    except OSError as error:
        hint = str(said.get("installHint") or "").strip()
        raise _plugin_error(command[0], f"{error.strerror}", hint) from error
    words: list[str] = []
    listener = threading.Thread(target=_pass_on, args=(process.stderr, words, terminal), daemon=True)
    listener.start()
    output = process.stdout.read() if process.stdout else ""
    code = process.wait()
    listener.join(5)
    if code:
        raise _plugin_error(command[0], f"exit code {code}: {''.join(words).strip()[-2000:]}")
    try:
        status = json.loads(output)["status"]
        if not (status.get("token") or status.get("clientCertificateData")):
            raise KeyError
    except (ValueError, KeyError, TypeError, AttributeError):
        # Its output is not repeated: it may hold the credential.
        raise _plugin_error(command[0], "its output holds no token and no certificate") from None
    return dict(status)


def _pass_on(stream: IO[str] | None, kept: list[str], terminal: bool) -> None:
    for line in stream or ():
        kept.append(line)
        if terminal:
            sys.stderr.write(line)


def _plugin_error(command: str, words: str, hint: str = "") -> KubeConfigError:
    return KubeConfigError(
        f"the kubeconfig's login plugin {Path(command).name} failed",
        evidence=words,
        remedy=hint or "log in as you do for kubectl, then run the same command again",
    )
