"""Who we are and where: kubeconfig files as kubectl reads them, login plugins, pods."""

from __future__ import annotations

import datetime
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from raystead.errors import KubeConfigError
from raystead.kube.access import configured, load, loading
from raystead.kube.access.proxies import from_environment

Json = dict[str, Any]


def pair(name: str) -> tuple[bytes, bytes]:
    """A certificate that signs itself, and its key, PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now - day, now + day)
    certificate = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No kubeconfig, no pod and no proxy but what a test makes."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(loading, "_POD_FILES", tmp_path / "no-pod")


def config(path: Path, *names: str, current: str | None = None, user: Json | None = None) -> Path:
    """A kubeconfig with a context, cluster and user for each name."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": n, "cluster": {"server": f"https://{n}.example:6443"}} for n in names],
        "users": [{"name": n, "user": user or {"token": f"token-of-{n}"}} for n in names],
        "contexts": [
            {"name": n, "context": {"cluster": n, "user": n, "namespace": f"space-{n}"}} for n in names
        ],
    }
    if current:
        document["current-context"] = current
    path.write_text(yaml.safe_dump(document))
    return path


def listed(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, paths)))


def test_the_context_says_server_namespace_and_token(tmp_path: Path) -> None:
    found = load(kubeconfig=str(config(tmp_path / "a", "dev", current="dev")))
    assert (found.server, found.namespace, found.context) == (
        "https://dev.example:6443",
        "space-dev",
        "dev",
    )
    assert dict(found.headers()) == {"Authorization": "Bearer token-of-dev"}


def test_the_first_current_context_of_a_list_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = config(tmp_path / "1", "none")
    two = config(tmp_path / "2", "dev", current="dev")
    three = config(tmp_path / "3", "prod", current="prod")
    listed(monkeypatch, tmp_path / "missing", one, two, three)
    assert load().context == "dev"
    assert dict(load(context="prod").headers()) == {"Authorization": "Bearer token-of-prod"}


def test_of_two_entries_of_a_name_the_first_file_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = config(tmp_path / "1", "dev", current="dev", user={"token": "first"})
    two = config(tmp_path / "2", "dev", current="dev", user={"token": "second"})
    listed(monkeypatch, one, two)
    assert dict(load().headers()) == {"Authorization": "Bearer first"}


def test_flags_win_over_the_context(tmp_path: Path) -> None:
    path = config(tmp_path / "a", "dev", "prod", current="dev")
    found = load(kubeconfig=str(path), context="prod", namespace="mine")
    assert (found.server, found.namespace) == ("https://prod.example:6443", "mine")


def test_a_context_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = config(tmp_path / "a", "dev", "prod", current="dev")
    with pytest.raises(KubeConfigError, match='no context "test"') as caught:
        load(kubeconfig=str(path), context="test")
    assert "dev, prod" in caught.value.evidence


def test_no_current_context_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(KubeConfigError, match="no current context") as caught:
        load(kubeconfig=str(config(tmp_path / "a", "dev")))
    assert "--context" in caught.value.remedy


def test_a_current_context_that_dangles_is_said(tmp_path: Path) -> None:
    path = config(tmp_path / "a", "dev", current="gone")
    with pytest.raises(KubeConfigError, match='no context "gone"'):
        load(kubeconfig=str(path))


@pytest.mark.parametrize("text", ["", "[]", "just words", "{a: [", "contexts: 3", "\0"])
def test_a_file_that_is_no_kubeconfig_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a"
    path.write_text(text)
    with pytest.raises(KubeConfigError) as caught:
        load(kubeconfig=str(path))
    assert str(path) in caught.value.diagnostics()


def test_a_context_without_its_cluster_or_user_is_a_sentence(tmp_path: Path) -> None:
    path = config(tmp_path / "a", "dev", current="dev")
    for part in ("clusters", "users"):
        document = yaml.safe_load(path.read_text())
        document[part] = []
        broken = tmp_path / part
        broken.write_text(yaml.safe_dump(document))
        with pytest.raises(KubeConfigError) as caught:
            load(kubeconfig=str(broken))
        assert '"dev"' in caught.value.diagnostics() or "name dev" in caught.value.evidence


def test_without_any_kubeconfig_there_is_a_way_on(tmp_path: Path) -> None:
    assert not configured()
    with pytest.raises(KubeConfigError, match="no kubeconfig") as caught:
        load()
    assert "raystead up --local" in caught.value.remedy


def test_home_is_the_last_place_looked_at(tmp_path: Path) -> None:
    home = tmp_path / "home" / ".kube"
    home.mkdir(parents=True)
    config(home / "config", "dev", current="dev")
    assert configured()
    assert load().context == "dev"


def test_as_is_said_with_every_request(tmp_path: Path) -> None:
    found = load(
        kubeconfig=str(config(tmp_path / "a", "dev", current="dev")), as_user="ann", as_groups=("g1", "g2")
    )
    assert dict(found.headers())["Impersonate-User"] == "ann"
    assert found.headers()[-2:] == [("Impersonate-Group", "g1"), ("Impersonate-Group", "g2")]


def test_as_of_the_kubeconfig_counts_too(tmp_path: Path) -> None:
    user = {"token": "t", "as": "bob", "as-groups": ["g"]}
    found = load(kubeconfig=str(config(tmp_path / "a", "dev", current="dev", user=user)))
    assert dict(found.headers())["Impersonate-User"] == "bob"
    assert found.headers()[-1] == ("Impersonate-Group", "g")


# -- login plugins ------------------------------------------------------------------------------------


def plugin(folder: Path, body: str, name: str = "login") -> Path:
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport json, os, sys\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def with_plugin(folder: Path, command: str, **more: Any) -> Path:
    said = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    said |= {"command": command, **more}
    return config(folder / "a", "dev", current="dev", user={"exec": said})


ANSWER = (
    "print(json.dumps(dict(apiVersion='client.authentication.k8s.io/v1', kind='ExecCredential', status={})))"
)


def answer(**status: Any) -> str:
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    return f"print(json.dumps({credential!r}))"


def test_a_plugin_gives_the_token(tmp_path: Path) -> None:
    plugin(tmp_path, answer(token="fresh"))
    found = load(kubeconfig=str(with_plugin(tmp_path, "./login")))
    assert dict(found.headers()) == {"Authorization": "Bearer fresh"}


def test_a_plugin_that_fails_speaks_in_its_own_words(tmp_path: Path) -> None:
    plugin(tmp_path, "sys.exit('session expired: run corp-login')")
    with pytest.raises(KubeConfigError, match="login plugin login failed") as caught:
        load(kubeconfig=str(with_plugin(tmp_path, "./login")))
    assert "session expired: run corp-login" in caught.value.evidence
    assert caught.value.exit_code == 76


def test_a_plugin_that_is_not_installed_gives_its_hint(tmp_path: Path) -> None:
    path = with_plugin(tmp_path, "no-such-login", installHint="brew install no-such-login")
    with pytest.raises(KubeConfigError, match="no-such-login failed") as caught:
        load(kubeconfig=str(path))
    assert caught.value.remedy == "brew install no-such-login"


@pytest.mark.parametrize("output", ["", "hello", "{}", '{"status": {}}', '{"status": 3}', "[]"])
def test_what_a_plugin_prints_is_never_repeated(tmp_path: Path, output: str) -> None:
    plugin(tmp_path, f"print({output!r} + 's3cret' * {int(output in ('', 'hello'))})")
    with pytest.raises(KubeConfigError, match="login plugin") as caught:
        load(kubeconfig=str(with_plugin(tmp_path, "./login")))
    assert "s3cret" not in caught.value.diagnostics()


def test_a_plugin_gets_its_arguments_environment_and_cluster(tmp_path: Path) -> None:
    body = "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
    body += "token = '|'.join([*sys.argv[1:], os.environ['REGION'], info['spec']['cluster']['server']])\n"
    plugin(tmp_path, body + ANSWER.format("{'token': token}"))
    path = with_plugin(
        tmp_path,
        "./login",
        args=["get", "token"],
        env=[{"name": "REGION", "value": "eu"}],
        provideClusterInfo=True,
    )
    said = dict(load(kubeconfig=str(path)).headers())["Authorization"]
    assert said == "Bearer get|token|eu|https://dev.example:6443"


def test_a_plugins_certificate_is_used(tmp_path: Path) -> None:
    certificate, key = pair("ann")
    plugin(tmp_path, answer(clientCertificateData=certificate.decode(), clientKeyData=key.decode()))
    found = load(kubeconfig=str(with_plugin(tmp_path, "./login")))
    assert found.login().certificate == (certificate, key)
    assert found.headers() == []


def test_a_token_that_is_due_is_renewed(tmp_path: Path) -> None:
    count = tmp_path / "count"
    body = f"path = {str(count)!r}\nn = int(open(path).read() or 0) if os.path.exists(path) else 0\n"
    body += "open(path, 'w').write(str(n + 1))\n"
    credential = "{'token': f'token-{n}', 'expirationTimestamp': '2020-01-01T00:00:00Z'}"
    plugin(tmp_path, body + ANSWER.format(credential))
    found = load(kubeconfig=str(with_plugin(tmp_path, "./login")))
    first, second = dict(found.headers())["Authorization"], dict(found.headers())["Authorization"]
    assert first != second


# -- in a pod -----------------------------------------------------------------------------------------


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("pods-token")
    (folder / "ca.crt").write_bytes(pair("ca")[0])
    (folder / "namespace").write_text("team-nlp\n")
    monkeypatch.setattr(loading, "_POD_FILES", folder)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return folder


def test_a_notebooks_pod_is_enough(pod: Path) -> None:
    assert configured()
    found = load()
    assert (found.server, found.namespace, found.context) == (
        "https://10.96.0.1:443",
        "team-nlp",
        "in-cluster",
    )
    assert dict(found.headers())["Authorization"].casefold() == "bearer pods-token"
    assert load(namespace="other").namespace == "other"


def test_a_kubeconfig_wins_over_the_pod(pod: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(monkeypatch, config(tmp_path / "a", "dev", current="dev"))
    assert load().context == "dev"


def test_a_kubeconfig_that_was_named_and_is_missing_never_means_the_pod(pod: Path, tmp_path: Path) -> None:
    with pytest.raises(KubeConfigError) as caught:
        load(kubeconfig=str(tmp_path / "typo"))
    assert "typo" in caught.value.evidence


def test_a_pod_without_its_certificate_is_a_sentence(pod: Path) -> None:
    (pod / "ca.crt").unlink()
    with pytest.raises(KubeConfigError, match="ServiceAccount cannot be used"):
        load()


def test_a_proxy_of_the_kubeconfig_counts_whatever_no_proxy_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in kubectl: NO_PROXY is about the environment's proxy only."""
    path = config(tmp_path / "a", "dev", current="dev")
    document = yaml.safe_load(path.read_text())
    document["clusters"][0]["cluster"]["proxy-url"] = "http://me:s3cret@proxy.example:3128"
    path.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("NO_PROXY", ".example")
    way = load(kubeconfig=str(path)).way
    assert str(way) == "http://proxy.example:3128"
    assert "s3cret" not in repr(way)


@pytest.mark.parametrize(
    ("no_proxy", "passed_by"),
    [
        ("", False),
        ("other.example", False),
        ("dev.example", True),
        ("example", True),
        (".example", True),
        ("*.example", True),
        ("DEV.EXAMPLE", True),
        ("xample", False),
        ("dev.example:6443", True),
        ("dev.example:443", False),
        ("a, dev.example ,b", True),
        ("*", True),
        ("10.0.0.0/8", False),
    ],
)
def test_the_environments_proxy_is_passed_by_where_no_proxy_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxy: str, passed_by: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    way = load(kubeconfig=str(config(tmp_path / "a", "dev", current="dev"))).way
    assert str(way) == ("None" if passed_by else "http://proxy.example:3128")


@pytest.mark.parametrize(
    ("no_proxy", "passed_by"), [("10.1.0.0/16", True), ("10.1.2.3", True), ("10.2.0.0/16", False)]
)
def test_no_proxy_knows_networks(monkeypatch: pytest.MonkeyPatch, no_proxy: str, passed_by: bool) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (from_environment("https://10.1.2.3:6443") is None) is passed_by


def test_an_access_shows_no_token(tmp_path: Path) -> None:
    found = load(kubeconfig=str(config(tmp_path / "a", "dev", current="dev")))
    assert "token-of-dev" not in repr(found)
    assert json.dumps(found.headers())  # and yet it is there


def test_certificates_are_sought_beside_the_file_that_names_them(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    user = {"client-certificate": "me.crt", "client-key": "me.key"}
    made = pair("ann")
    for name, data in zip(user.values(), made, strict=True):
        (folder / name).write_bytes(data)
    assert (
        load(kubeconfig=str(config(folder / "a", "dev", current="dev", user=user))).login().certificate
        == made
    )
