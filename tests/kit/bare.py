"""etcd, kube-apiserver and its controllers on loopback: without root, without a node, in seconds.

Pods are admitted, counted against quotas and owned by their controllers, but never run. The binaries are those of
testcluster/build.sh.
"""

import ctypes
import json
import secrets
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kube import Kube
from settings import SCRIPTS, binary

BINARIES = ("kube-apiserver", "kube-controller-manager", "kubectl", "etcd")
ATTEMPTS = 5  # a free port may be taken by another before it is used
PR_SET_PDEATHSIG = 1


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class NotStarted(Exception):
    """The server ended by itself, or cannot be used after two minutes."""


class Server:
    """One attempt on ports of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.token = folder, secrets.token_hex(16)
        self.etcd_port, self.peer_port, self.port = free_ports(3)
        self.address = f"https://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def admin(self) -> Kube:
        """The administrator."""
        return Kube(binary("kubectl"), self.folder / "admin.conf")

    @property
    def log(self) -> Path:
        """The audit log."""
        return self.folder / "audit.json"

    def start(self) -> None:
        """Returns, after some five seconds, once the controllers have given the roles their rules."""
        self._keys()
        etcd, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        self._run(
            "etcd",
            f"--data-dir={self.folder}/etcd",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )
        self._run(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={self.folder}",
            f"--token-auth-file={self.folder}/tokens.csv",
            f"--client-ca-file={self.folder}/client-ca.crt",
            f"--service-account-key-file={self.folder}/sa.key",
            f"--service-account-signing-key-file={self.folder}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement,PodSecurity",
            f"--audit-policy-file={SCRIPTS}/audit.yaml",
            f"--audit-log-path={self.folder}/audit.json",
            "--audit-log-mode=blocking",
        )
        self._until("the API server is ready", lambda: self._get("/readyz") == b"ok")
        for name, user in (("admin", "admin"), ("controllers", "system:kube-controller-manager")):
            self._kubeconfig(name, user)
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.folder}/controllers.conf",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=300",
            "--kube-api-burst=600",
            f"--service-account-private-key-file={self.folder}/sa.key",
            f"--root-ca-file={self.folder}/apiserver.crt",
        )
        self._until("the roles have their rules", self._has_roles)
        self.admin.apply(SCRIPTS / "manifests.yaml")

    def alive(self) -> bool:
        return all(process.poll() is None for process in self.processes.values())

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _keys(self) -> None:
        """The server signs its own certificate; tokens need a key."""
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        text = key.private_bytes(
            form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption()
        )
        (self.folder / "sa.key").write_bytes(text)
        lines = [
            f'{self.token}-{user},{user},{user},"system:masters"\n'
            for user in ("admin", "system:kube-controller-manager")
        ]
        lines += [f'{self.token}-{user},{user},uid-{user},"team"\n' for user in ("ann", "bob")]
        (self.folder / "tokens.csv").write_text("".join(lines))
        certificate, its_key = signed("client-ca")
        (self.folder / "client-ca.crt").write_bytes(certificate)
        (self.folder / "client-ca.key").write_bytes(its_key)

    def client_certificate(self, user: str, days: float = 1) -> tuple[bytes, bytes]:
        """A certificate that the server takes for `user` of the group team, and its key, PEM."""
        issuer = [(self.folder / f"client-ca.{end}").read_bytes() for end in ("crt", "key")]
        return signed(user, (issuer[0], issuer[1]), days)

    def _kubeconfig(self, name: str, user: str) -> None:
        cluster = {"server": self.address, "certificate-authority": str(self.folder / "apiserver.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "objects", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": f"{self.token}-{user}"}}],
            "contexts": [{"name": "objects", "context": {"cluster": "objects", "user": name}}],
            "current-context": "objects",
        }
        (self.folder / f"{name}.conf").write_text(json.dumps(config))

    def _run(self, name: str, *words: str) -> None:
        def die_with_me() -> None:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        log = (self.folder / f"{name}.log").open("wb")
        self.processes[name] = subprocess.Popen(
            [str(binary(name)), *words],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_me,
        )

    def _until(self, what: str, check: Callable[[], object]) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if not self.alive():
                raise NotStarted(f"not {what}: {self._last_words()}")
            try:
                if check():
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise NotStarted(f"not within 120 s: {what}; {self._last_words()}")

    def _last_words(self) -> str:
        ended = [name for name, process in self.processes.items() if process.poll() is not None]
        logs = [(self.folder / f"{name}.log").read_text(errors="replace")[-1500:] for name in ended]
        return f"ended: {ended}\n" + "\n".join(logs)

    def _get(self, path: str) -> bytes:
        request = urllib.request.Request(
            self.address + path, headers={"Authorization": f"Bearer {self.token}-admin"}
        )
        context = ssl.create_default_context(cafile=str(self.folder / "apiserver.crt"))
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        with urllib.request.build_opener(*handlers).open(request, timeout=5) as answer:
            return bytes(answer.read())

    def _has_roles(self) -> bool:
        roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles/"
        return all(json.loads(self._get(roles + role)).get("rules") for role in ("view", "edit", "admin"))


def signed(
    name: str, issuer: tuple[bytes, bytes] | None = None, days: float = 1, host: str = ""
) -> tuple[bytes, bytes]:
    """A certificate and its key, PEM: of a CA, or signed by one; `days` below 0 is one that has expired."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "team"),
        ]
    )
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    parent = x509.load_pem_x509_certificate(issuer[0]).subject if issuer else subject
    sign = form.load_pem_private_key(issuer[1], None) if issuer else key
    assert isinstance(sign, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(
        parent,
        subject,
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=2),
        now + timedelta(days=days),
    ).add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    if host:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    made = builder.sign(sign, hashes.SHA256())
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return made.public_bytes(form.Encoding.PEM), private


def started(folder: Path) -> Server:
    """A server that can be used; raises NotStarted with the last lines of whatever ended."""
    attempt = 0
    while True:
        server = Server(folder / str(attempt))
        try:
            server.start()
            return server
        except NotStarted as error:
            server.stop()
            attempt += 1
            if attempt == ATTEMPTS or "address already in use" not in str(error):
                raise
