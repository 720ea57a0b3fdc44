"""A table of kubeconfigs: what people have, what they merge, what is broken. kubectl says what each means.

`{…}` in a text is filled in by the test: addresses of servers and proxies, tokens, certificates, paths.
"""

import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
NAME = "x"
HOUR = "2099-01-01T00:00:00Z"
PAST = "2020-01-01T00:00:00Z"
V1, BETA = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


@dataclass(frozen=True)
class Case:
    """One kubeconfig, or several.

    Attributes:
        files: by name, text or a document; `config` is the one that KUBECONFIG names unless `env` says otherwise.
        env: variables; KUBECONFIG is a list of names of files here.
        flags: of both command lines.
        user: whom the server sees; "" where both must fail.
        says: where both fail, a word of kubectl's reason and one of ours.
        ours: where we differ from kubectl on purpose: whom the server sees of us; kubectl then fails with `says`.
        namespace: where both look.
        why: where we differ, the reason.
    """

    name: str
    files: Json = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    user: str = ""
    says: tuple[str, str] = ("", "")
    ours: str | None = None
    namespace: str = "default"
    why: str = ""


def cluster(**more: Any) -> Json:
    return {"server": "{server}", "certificate-authority-data": "{authority}", **more}


def bare(**more: Any) -> Json:
    """A cluster without trust of its own."""
    return {"server": "{server}", **more}


def config(
    user: Any, where: Json | None = None, name: str = NAME, current: str | None = NAME, **context: Any
) -> Json:
    """A whole file with one context."""
    out: Json = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": where or cluster()}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **context}}],
    }
    if current:
        out["current-context"] = current
    return out


def plugin(command: str, version: str = V1, **more: Any) -> Json:
    mode = {"interactiveMode": "Never"} if version == V1 else {}
    return {"exec": {"apiVersion": version, "command": command, **mode, **more}}


def script(status: Any, version: str = V1, check: str = "") -> str:
    """A plugin that prints a credential; `check` are lines of Python that see `info`, KUBERNETES_EXEC_INFO's."""
    credential = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    lines = [
        "#!/usr/bin/env -S python3 -S",
        "import json, os, sys",
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])",
        f"assert info['apiVersion'] == {version!r} and info['kind'] == 'ExecCredential'",
        check,
        f"print(r'''{json.dumps(credential)}''')",
    ]
    return "\n".join(lines) + "\n"


ANN, BOB, ADMIN = {"token": "{ann}"}, {"token": "{bob}"}, {"token": "{admin}"}
CERTIFICATE = {"client-certificate-data": "{certificate64}", "client-key-data": "{key64}"}
TOKEN = {"token": "{ann}", "expirationTimestamp": HOUR}

TOKENS = (
    Case("a token", {"config": config(ANN)}, user="ann"),
    Case("a token file", {"config": config({"tokenFile": "token"}), "token": "{ann}\n"}, user="ann"),
    Case(
        "a token file with blanks around it",
        {"config": config({"tokenFile": "token"}), "token": "  {ann} \n\n"},
        user="ann",
    ),
    Case(
        "a token file in a folder",
        {"config": config({"tokenFile": "sub/token"}), "sub/token": "{ann}"},
        user="ann",
    ),
    Case(
        "a token file by its whole path",
        {"config": config({"tokenFile": "{folder}/token"}), "token": "{ann}"},
        user="ann",
    ),
    Case(
        "a token file wins over a token",
        {"config": config({"token": "{bob}", "tokenFile": "token"}), "token": "{ann}"},
        user="ann",
    ),
    Case(
        "a token where its file is missing",
        {"config": config({"token": "{bob}", "tokenFile": "nowhere"})},
        user="bob",
    ),
    Case(
        "a token file that is missing",
        {"config": config({"tokenFile": "nowhere"})},
        says=("no such file", "No such file"),
    ),
    Case(
        "a token file that is empty",
        {"config": config({"tokenFile": "token"}), "token": "\n"},
        says=("invalid header field value", "is empty"),
    ),
    Case(
        "a wrong token",
        {"config": config({"token": "nobody"})},
        says=("Unauthorized|must be logged in", "does not accept our credentials"),
    ),
    Case(
        "a token with a line break at its end",
        {"config": config({"token": "{ann}\n"})},
        says=("invalid header field value", ""),
        ours="ann",
        why="white space around a token is never meant",
    ),
    Case(
        "a token with a line break inside",
        {"config": config({"token": "{ann}\nx: y"})},
        says=("invalid header field value", "control character"),
    ),
    Case(
        "a token that is a number",
        {"config": "{head}\nusers: [{name: x, user: {token: 12345}}]"},
        says=("cannot unmarshal number", "expected a string, got a number"),
    ),
    Case(
        "a token that is a boolean",
        {"config": "{head}\nusers: [{name: x, user: {token: yes}}]"},
        says=("cannot unmarshal bool", "expected a string, got a boolean"),
    ),
    Case(
        "a token and a password",
        {"config": config({"token": "{ann}", "username": "u", "password": "p"})},
        says=("more than one authentication method", "only one of them can be meant"),
    ),
    Case(
        "a password, which no server takes any more",
        {"config": config({"username": "u", "password": "p"})},
        user="system:anonymous",
    ),
    Case(
        "nobody",
        {"config": config({})},
        says=("EOF", ""),
        ours="system:anonymous",
        why="kubectl asks for a user and a password, which no server takes any more",
    ),
    Case(
        "a user that is null",
        {"config": "{head}\nusers: [{name: x, user: null}]"},
        says=("EOF", ""),
        ours="system:anonymous",
        why="kubectl asks for a user and a password, which no server takes any more",
    ),
    Case(
        "a context without a user",
        {"config": {**config(ANN), "contexts": [{"name": NAME, "context": {"cluster": NAME}}]}},
        says=("EOF", ""),
        ours="system:anonymous",
        why="kubectl asks for a user and a password, which no server takes any more",
    ),
    Case(
        "a context whose user is missing",
        {"config": {**config(ANN), "users": []}},
        says=("EOF", 'the user "x", which is not there'),
    ),
)

CERTIFICATES = (
    Case("a certificate in the file", {"config": config(CERTIFICATE)}, user="carol"),
    Case(
        "a certificate beside the file",
        {
            "config": config({"client-certificate": "me.crt", "client-key": "me.key"}),
            "me.crt": "{certificate}",
            "me.key": "{key}",
        },
        user="carol",
    ),
    Case(
        "a certificate beside it, the key in it",
        {
            "config": config({"client-certificate": "me.crt", "client-key-data": "{key64}"}),
            "me.crt": "{certificate}",
        },
        user="carol",
    ),
    Case(
        "certificate and key in one file",
        {
            "config": config({"client-certificate": "me.pem", "client-key": "me.pem"}),
            "me.pem": "{certificate}{key}",
        },
        user="carol",
    ),
    Case("a certificate and a token", {"config": config({**CERTIFICATE, "token": "{ann}"})}, user="carol"),
    Case(
        "a certificate that has expired",
        {"config": config({"client-certificate-data": "{expired64}", "client-key-data": "{expiredkey64}"})},
        says=("Unauthorized|must be logged in|expired", "does not accept our credentials"),
    ),
    Case(
        "a certificate without its key",
        {"config": config({"client-certificate-data": "{certificate64}"})},
        says=("client-key", "client-key"),
    ),
    Case(
        "a key of another certificate",
        {"config": config({**CERTIFICATE, "client-key-data": "{expiredkey64}"})},
        says=("private key does not match", "do not fit together"),
    ),
    Case(
        "a certificate twice",
        {"config": config({**CERTIFICATE, "client-certificate": "me.crt"}), "me.crt": "{certificate}"},
        says=("both specified", "client-certificate and client-certificate-data"),
    ),
    Case(
        "a certificate that is missing",
        {"config": config({"client-certificate": "me.crt", "client-key": "me.key"})},
        says=("no such file", "No such file"),
    ),
    Case(
        "a certificate that is no base64",
        {"config": config({**CERTIFICATE, "client-certificate-data": "%%%"})},
        says=("illegal base64", "not base64"),
    ),
    Case(
        "a certificate that is no PEM",
        {"config": config({**CERTIFICATE, "client-certificate-data": "YWJj"})},
        says=("failed to find any PEM data", "cannot be used"),
    ),
)

TRUST = (
    Case(
        "the CA beside the file",
        {"config": config(ANN, bare(**{"certificate-authority": "ca.crt"})), "ca.crt": "{ca}"},
        user="ann",
    ),
    Case(
        "the CA in a folder above",
        {"sub/config": config(ANN, bare(**{"certificate-authority": "../ca.crt"})), "ca.crt": "{ca}"},
        {"KUBECONFIG": "sub/config"},
        user="ann",
    ),
    Case(
        "no CA",
        {"config": config(ANN, bare())},
        says=("certificate signed by unknown authority|not trusted", "does not trust"),
    ),
    Case(
        "another CA",
        {"config": config(ANN, bare(**{"certificate-authority-data": "{otherca64}"}))},
        says=("certificate signed by unknown authority", "does not trust"),
    ),
    Case(
        "several CAs",
        {"config": config(ANN, bare(**{"certificate-authority": "ca.crt"})), "ca.crt": "{otherca}{ca}"},
        user="ann",
    ),
    Case(
        "a CA with a comment that is not ASCII",
        {
            "config": config(ANN, bare(**{"certificate-authority": "ca.crt"})),
            "ca.crt": "# Főtanúsítvány\n{ca}",
        },
        user="ann",
    ),
    Case(
        "a CA that is no text",
        {"config": config(ANN, bare(**{"certificate-authority-data": "aaaa"}))},
        says=("unable to load root certificates|unable to parse bytes as PEM", "no certificate in PEM"),
    ),
    Case(
        "a CA that is no PEM",
        {"config": config(ANN, bare(**{"certificate-authority-data": "YWJj"}))},
        says=("unable to load root certificates|unable to parse bytes as PEM", "no certificate in PEM"),
    ),
    Case(
        "a CA that is missing",
        {"config": config(ANN, bare(**{"certificate-authority": "nowhere.crt"}))},
        says=("no such file", "No such file"),
    ),
    Case(
        "a CA twice",
        {"config": config(ANN, cluster(**{"certificate-authority": "ca.crt"})), "ca.crt": "{ca}"},
        says=("both specified", "certificate-authority and certificate-authority-data"),
    ),
    Case("no check", {"config": config(ANN, bare(**{"insecure-skip-tls-verify": True}))}, user="ann"),
    Case(
        "no check, and a CA",
        {"config": config(ANN, cluster(**{"insecure-skip-tls-verify": True}))},
        says=("root certificates file with the insecure flag", "insecure-skip-tls-verify"),
    ),
    Case(
        "the server by another name of its certificate",
        {"config": config(ANN, cluster(**{"tls-server-name": "kubernetes.default.svc"}))},
        user="ann",
    ),
    Case(
        "a name that its certificate has not",
        {"config": config(ANN, cluster(**{"tls-server-name": "example.org"}))},
        says=("certificate is valid for", "does not trust"),
    ),
    Case(
        "the server as localhost",
        {"config": config(ANN, cluster(server="https://localhost:{port}"))},
        says=("certificate is valid for", "does not trust"),
    ),
    Case("a slash at the end", {"config": config(ANN, cluster(server="{server}/"))}, user="ann"),
    Case(
        "a server without a scheme",
        {"config": config(ANN, cluster(server="127.0.0.1:{port}"))},
        says=("rejected our request|HTTP request to an HTTPS server", "HTTP request to an HTTPS server"),
    ),
    Case(
        "plain HTTP at a TLS port",
        {"config": config(ANN, bare(server="http://127.0.0.1:{port}"))},
        says=("rejected our request|HTTP request to an HTTPS server", "HTTP request to an HTTPS server"),
    ),
    Case(
        "no server",
        {"config": config(ANN, bare(server=""))},
        says=("no configuration|localhost:8080|no server", "has no server"),
    ),
    Case(
        "a server that is away",
        {"config": config(ANN, cluster(server="https://127.0.0.1:{closed}"))},
        says=("refused", "refused"),
    ),
    Case(
        "a server of another kind",
        {"config": config(ANN, cluster(server="ftp://127.0.0.1:{port}"))},
        says=("unsupported protocol scheme|Unable to connect", "expected http"),
    ),
)

PLUGINS = (
    Case("a plugin, v1", {"config": config(plugin("./login")), "login": script(TOKEN)}, user="ann"),
    Case(
        "a plugin, v1beta1",
        {"config": config(plugin("./login", BETA)), "login": script(TOKEN, BETA)},
        user="ann",
    ),
    Case(
        "a plugin on the PATH",
        {"config": config(plugin("login")), "bin/login": script(TOKEN)},
        {"PATH": "{folder}/bin:{path}"},
        user="ann",
    ),
    Case(
        "a plugin by its whole path",
        {"config": config(plugin("{folder}/login")), "login": script(TOKEN)},
        user="ann",
    ),
    Case(
        "a plugin in a folder beside the file",
        {"config": config(plugin("bin/login")), "bin/login": script(TOKEN)},
        user="ann",
    ),
    Case(
        "a plugin with arguments and variables",
        {
            "config": config(
                plugin("./login", args=["get", "token"], env=[{"name": "REGION", "value": "eu"}])
            ),
            "login": script(
                TOKEN, check="assert sys.argv[1:] == ['get', 'token'] and os.environ['REGION'] == 'eu'"
            ),
        },
        user="ann",
    ),
    Case(
        "a plugin that is told of the cluster",
        {
            "config": config(
                plugin("./login", provideClusterInfo=True),
                cluster(
                    extensions=[{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}]
                ),
            ),
            "login": script(
                TOKEN,
                check="c = info['spec']['cluster']; assert c['server'] == '{server}' and c['config'] == {'audience': 'a'} and c['certificate-authority-data']",
            ),
        },
        user="ann",
    ),
    Case(
        "a plugin that is not told of the cluster",
        {
            "config": config(plugin("./login")),
            "login": script(
                TOKEN, check="assert 'cluster' not in info['spec'] and info['spec']['interactive'] is False"
            ),
        },
        user="ann",
    ),
    Case(
        "a plugin that gives a certificate",
        {
            "config": config(plugin("./login")),
            "login": script({"clientCertificateData": "{certificateline}", "clientKeyData": "{keyline}"}),
        },
        user="carol",
    ),
    Case(
        "a plugin that gives half a certificate",
        {
            "config": config(plugin("./login")),
            "login": script({"clientCertificateData": "{certificateline}"}),
        },
        says=("only certificate or key", "without its key"),
    ),
    Case(
        "a plugin whose token has expired already",
        {
            "config": config(plugin("./login")),
            "login": script({"token": "{ann}", "expirationTimestamp": PAST}),
        },
        user="ann",
    ),
    Case(
        "a token beside a plugin",
        {"config": config({"token": "{bob}", **plugin("./login")}), "login": script(TOKEN)},
        user="bob",
    ),
    Case(
        "a plugin that answers in another version",
        {
            "config": config(plugin("./login", V1)),
            "login": script(TOKEN, BETA).replace(f"== '{BETA}'", f"== '{V1}'"),
        },
        says=("plugin returned version", "not an ExecCredential of"),
    ),
    Case(
        "a plugin without an answer",
        {"config": config(plugin("./login")), "login": "#!/bin/sh\n"},
        says=("plugin returned version", "not the JSON of an ExecCredential"),
    ),
    Case(
        "a plugin without a status",
        {"config": config(plugin("./login")), "login": script(None)},
        says=("didn't return a status|status", "no status"),
    ),
    Case(
        "a plugin with an empty status",
        {"config": config(plugin("./login")), "login": script({})},
        says=("didn't return a token or cert/key pair", "no token and no certificate"),
    ),
    Case(
        "a plugin that fails",
        {"config": config(plugin("./login")), "login": "#!/bin/sh\necho session expired >&2; exit 3\n"},
        says=("exit code 3", "exit code 3: session expired"),
    ),
    Case(
        "a plugin that is not installed",
        {"config": config(plugin("no-such-login", installHint="brew install it"))},
        says=("brew install it", "brew install it"),
    ),
    Case(
        "a plugin that is no program",
        {"config": config(plugin("./login")), "login-": ""},
        says=("no such file", "No such file"),
    ),
    Case(
        "a plugin without a command",
        {"config": config(plugin(""))},
        says=("command must be specified", "has no command"),
    ),
    Case(
        "a plugin of a version that is gone",
        {
            "config": config(
                plugin("./login", "client.authentication.k8s.io/v1alpha1", interactiveMode="Never")
            ),
            "login": script(TOKEN),
        },
        says=("invalid apiVersion", "v1alpha1"),
    ),
    Case(
        "a plugin without a version",
        {"config": config({"exec": {"command": "./login"}})},
        says=("apiVersion must be specified", "no apiVersion"),
    ),
    Case(
        "a plugin of v1 without interactiveMode",
        {"config": config({"exec": {"command": "./login", "apiVersion": V1}}), "login": script(TOKEN)},
        says=("interactiveMode must be specified", "no interactiveMode"),
    ),
    Case(
        "a plugin that must ask, without a terminal",
        {"config": config(plugin("./login", interactiveMode="Always")), "login": script(TOKEN)},
        says=("not a terminal|cannot support interactive mode", "not a terminal"),
    ),
    Case(
        "a plugin that may ask, without a terminal",
        {
            "config": config(plugin("./login", interactiveMode="IfAvailable")),
            "login": script(TOKEN, check="assert info['spec']['interactive'] is False"),
        },
        user="ann",
    ),
    Case(
        "aws eks get-token",
        {
            "config": config(
                plugin(
                    "aws",
                    BETA,
                    args=[
                        "--region",
                        "eu-west-1",
                        "eks",
                        "get-token",
                        "--cluster-name",
                        "c",
                        "--output",
                        "json",
                    ],
                    env=[{"name": "AWS_PROFILE", "value": "dev"}],
                )
            ),
            "bin/aws": script(
                TOKEN,
                BETA,
                "assert sys.argv[3:5] == ['eks', 'get-token'] and os.environ['AWS_PROFILE'] == 'dev'",
            ),
        },
        {"PATH": "{folder}/bin:{path}"},
        user="ann",
    ),
    Case(
        "gke-gcloud-auth-plugin",
        {
            "config": config(
                plugin(
                    "gke-gcloud-auth-plugin",
                    BETA,
                    provideClusterInfo=True,
                    installHint="Install gke-gcloud-auth-plugin",
                )
            ),
            "bin/gke-gcloud-auth-plugin": script(TOKEN, BETA, "assert info['spec']['cluster']['server']"),
        },
        {"PATH": "{folder}/bin:{path}"},
        user="ann",
    ),
    Case(
        "kubelogin of Azure",
        {
            "config": config(
                plugin(
                    "kubelogin",
                    BETA,
                    args=["get-token", "--login", "azurecli", "--server-id", "s"],
                    env=None,
                    provideClusterInfo=False,
                )
            ),
            "bin/kubelogin": script(TOKEN, BETA, "assert sys.argv[1] == 'get-token'"),
        },
        {"PATH": "{folder}/bin:{path}"},
        user="ann",
    ),
    Case(
        "kubectl oidc-login",
        {
            "config": config(
                plugin(
                    "kubectl-oidc_login",
                    V1,
                    args=["get-token", "--oidc-issuer-url=https://i"],
                    interactiveMode="IfAvailable",
                )
            ),
            "bin/kubectl-oidc_login": script(TOKEN, V1),
        },
        {"PATH": "{folder}/bin:{path}"},
        user="ann",
    ),
    Case(
        "the old auth-provider of gcp",
        {"config": config({"auth-provider": {"name": "gcp", "config": {}}})},
        says=("gcp auth plugin has been removed|no Auth Provider found", "gke-gcloud-auth-plugin"),
    ),
    Case(
        "the old auth-provider of azure",
        {"config": config({"auth-provider": {"name": "azure", "config": {}}})},
        says=("azure auth plugin has been removed|no Auth Provider found", "kubelogin"),
    ),
)

MERGED = (
    Case(
        "the first current-context wins",
        {"1": config(ANN, name="a", current="a"), "2": config(BOB, name="b", current="b")},
        {"KUBECONFIG": "1:2"},
        user="ann",
    ),
    Case(
        "a current-context of the second file",
        {"1": config(ANN, name="a", current=None), "2": config(BOB, name="b", current="b")},
        {"KUBECONFIG": "1:2"},
        user="bob",
    ),
    Case(
        "a context in one file, its user in another",
        {"1": {**config(ANN), "users": [], "clusters": []}, "2": config(BOB, current=None)},
        {"KUBECONFIG": "1:2"},
        user="bob",
    ),
    Case(
        "the first of two users of a name",
        {"1": config(ANN), "2": config(BOB)},
        {"KUBECONFIG": "1:2"},
        user="ann",
    ),
    Case(
        "the first of two clusters of a name",
        {"1": config(ANN), "2": config(ANN, cluster(server="https://127.0.0.1:{closed}"))},
        {"KUBECONFIG": "1:2"},
        user="ann",
    ),
    Case(
        "two users of a name are not mixed",
        {"1": config({"as": "dave"}), "2": config(ADMIN)},
        {"KUBECONFIG": "1:2"},
        says=("EOF", ""),
        ours="system:anonymous",
        why="kubectl asks for a user and a password, which no server takes any more",
    ),
    Case("an empty file first", {"1": "", "2": config(ANN)}, {"KUBECONFIG": "1:2"}, user="ann"),
    Case(
        "a file of comments first", {"1": "# nothing\n", "2": config(ANN)}, {"KUBECONFIG": "1:2"}, user="ann"
    ),
    Case("a missing file first", {"2": config(ANN)}, {"KUBECONFIG": "1:2"}, user="ann"),
    Case("empty places in the list", {"2": config(ANN)}, {"KUBECONFIG": "::2:"}, user="ann"),
    Case("the same file twice", {"2": config(ANN)}, {"KUBECONFIG": "2:2"}, user="ann"),
    Case(
        "relative paths count from each file",
        {
            "a/1": config({"tokenFile": "token"}),
            "a/token": "{ann}",
            "b/2": config({"tokenFile": "token"}, name="b"),
            "b/token": "{bob}",
        },
        {"KUBECONFIG": "a/1:b/2"},
        user="ann",
    ),
    Case(
        "--context of the second file",
        {"1": config(ANN, name="a", current="a"), "2": config(BOB, name="b", current="b")},
        {"KUBECONFIG": "1:2"},
        ("--context", "b"),
        user="bob",
    ),
    Case(
        "--kubeconfig wins over KUBECONFIG",
        {"1": config(ANN), "2": config(BOB)},
        {"KUBECONFIG": "1"},
        ("--kubeconfig", "{folder}/2"),
        user="bob",
    ),
    Case(
        "the file in the home directory", {"home/.kube/config": config(ANN)}, {"KUBECONFIG": ""}, user="ann"
    ),
    Case(
        "a broken file in the list",
        {"1": config(ANN), "2": "a: [b"},
        {"KUBECONFIG": "1:2"},
        says=("error loading config file", "cannot be used"),
    ),
    Case(
        "a folder in the list",
        {"1": config(ANN), "2/x": ""},
        {"KUBECONFIG": "1:2"},
        says=("is a directory", "Is a directory"),
    ),
    Case(
        "no file at all",
        {},
        {"KUBECONFIG": "1:2"},
        says=("localhost:8080|invalid configuration", "no kubeconfig"),
    ),
    Case(
        "a --kubeconfig that is missing",
        {"1": config(ANN)},
        {"KUBECONFIG": "1"},
        ("--kubeconfig", "{folder}/typo"),
        says=("no such file", "no file at"),
    ),
    Case(
        "no current context",
        {"config": config(ANN, current=None)},
        says=("localhost:8080|invalid configuration", "no current context"),
    ),
    Case(
        "a current context that dangles",
        {"config": config(ANN, current="gone")},
        says=('context was not found|context "gone" does not exist', 'no context "gone"'),
    ),
    Case(
        "a --context that is missing",
        {"config": config(ANN)},
        {},
        ("--context", "gone"),
        says=('context was not found|context "gone" does not exist', 'no context "gone"'),
    ),
    Case(
        "a context whose cluster is missing",
        {"config": {**config(ANN), "clusters": []}},
        says=("localhost:8080|invalid configuration|does not exist", 'the cluster "x", which is not there'),
    ),
)

FORMS = (
    Case("JSON with tabs", {"config": "\t{json}"}, says=("cannot start any token", "cannot start any token")),
    Case("YAML with a mark of its order", {"config": "\ufeff{json}"}, user="ann"),
    Case(
        "YAML with an anchor",
        {"config": "{head}\nusers: [{name: x, user: &u {token: '{ann}'}}]\nextensions: []"},
        user="ann",
    ),
    Case("two documents", {"config": "{json}\n---\nkind: Other\n"}, user="ann"),
    Case(
        "fields that nobody knows",
        {"config": {**config({**ANN, "colour": "red"}), "preferences": {"x": 1}}},
        user="ann",
    ),
    Case(
        "neither apiVersion nor kind",
        {"config": {k: v for k, v in config(ANN).items() if k not in ("apiVersion", "kind")}},
        user="ann",
    ),
    Case(
        "another kind",
        {"config": {**config(ANN), "kind": "Secret"}},
        says=('no kind "Secret"', "not a Config of v1"),
    ),
    Case(
        "another version",
        {"config": {**config(ANN), "apiVersion": "v2"}},
        says=('no kind "Config"', "not a Config of v1"),
    ),
    Case("a list", {"config": "[]"}, says=("cannot unmarshal array", "expected a mapping")),
    Case("words", {"config": "just words"}, says=("cannot unmarshal string", "expected a mapping")),
    Case(
        "two users of a name in one file",
        {"config": {**config(ANN), "users": [{"name": NAME, "user": ANN}, {"name": NAME, "user": BOB}]}},
        says=("duplicate name", "two entries named"),
    ),
    Case(
        "a namespace of the context", {"config": config(ANN, namespace="team")}, user="ann", namespace="team"
    ),
    Case(
        "-n wins over the context",
        {"config": config(ANN, namespace="team")},
        {},
        ("-n", "mine"),
        user="ann",
        namespace="mine",
    ),
    Case(
        "a namespace that cannot be one",
        {"config": config(ANN, namespace="Team_A")},
        user="ann",
        namespace="Team_A",
    ),
    Case(
        "a namespace that would be another path",
        {"config": config(ANN, namespace="a/../b")},
        says=("invalid namespace|may not contain", "cannot be one"),
        namespace="a/../b",
    ),
    Case(
        "a path with blanks and umlauts",
        {"my über config": config({"tokenFile": "my tokén"}), "my tokén": "{ann}"},
        {"KUBECONFIG": "my über config"},
        user="ann",
    ),
)

AS = (
    Case("--as", {"config": config(ADMIN)}, {}, ("--as", "dave"), user="dave"),
    Case(
        "--as with groups and a uid",
        {"config": config(ADMIN)},
        {},
        ("--as", "dave", "--as-group", "g1", "--as-group", "g2", "--as-uid", "7"),
        user="dave",
    ),
    Case("--as with letters of everywhere", {"config": config(ADMIN)}, {}, ("--as", "josé"), user="josé"),
    Case(
        "as of the kubeconfig",
        {
            "config": config(
                {
                    **ADMIN,
                    "as": "dave",
                    "as-groups": ["g"],
                    "as-uid": "7",
                    "as-user-extra": {"Reason/Why": ["a b", "c"]},
                }
            )
        },
        user="dave",
    ),
    Case(
        "--as over the kubeconfig's",
        {"config": config({**ADMIN, "as": "dave", "as-groups": ["g"]})},
        {},
        ("--as", "erin"),
        user="erin",
    ),
    Case(
        "--as-group over the kubeconfig's",
        {"config": config({**ADMIN, "as": "dave", "as-groups": ["g"]})},
        {},
        ("--as-group", "h"),
        user="dave",
    ),
    Case(
        "--as-group alone",
        {"config": config(ADMIN)},
        {},
        ("--as-group", "g"),
        says=("without impersonating a user", "need --as"),
    ),
    Case(
        "as-groups alone in the kubeconfig",
        {"config": config({**ADMIN, "as-groups": ["g"]})},
        says=("without impersonating a user", 'without "as"'),
    ),
    Case("--as without the right", {"config": config(ANN)}, {}, ("--as", "dave"), user="ann"),
)

PROXIES = (
    Case(
        "an HTTP proxy",
        {
            "config": config(
                ANN,
                cluster(
                    **{
                        "server": "https://api.example:{port}",
                        "proxy-url": "{http}",
                        "tls-server-name": "kubernetes",
                    }
                ),
            )
        },
        user="ann",
    ),
    Case(
        "an HTTP proxy with a password",
        {"config": config(ANN, cluster(**{"proxy-url": "{httplogin}"}))},
        user="ann",
    ),
    Case(
        "an HTTP proxy with a wrong password",
        {"config": config(ANN, cluster(**{"proxy-url": "{httpwrong}"}))},
        says=("Proxy Authentication Required", "Proxy Authentication Required"),
    ),
    Case(
        "an HTTP proxy that refuses",
        {"config": config(ANN, cluster(**{"proxy-url": "{refusing}"}))},
        says=("Forbidden", "Forbidden by the company"),
    ),
    Case(
        "an HTTP proxy that is away",
        {"config": config(ANN, cluster(**{"proxy-url": "http://127.0.0.1:{closed}"}))},
        says=("refused", "refused"),
    ),
    Case(
        "an HTTPS proxy",
        {
            "config": config(
                ANN,
                bare(
                    **{
                        "certificate-authority": "ca.crt",
                        "server": "https://kubernetes:{port}",
                        "proxy-url": "{https}",
                    }
                ),
            ),
            "ca.crt": "{ca}{proxyca}",
        },
        user="ann",
    ),
    Case(
        "SOCKS5",
        {
            "config": config(
                ANN,
                cluster(
                    **{
                        "server": "https://api.example:{port}",
                        "proxy-url": "{socks}",
                        "tls-server-name": "kubernetes",
                    }
                ),
            )
        },
        user="ann",
    ),
    Case("SOCKS5 by address", {"config": config(ANN, cluster(**{"proxy-url": "{socks}"}))}, user="ann"),
    Case(
        "SOCKS5 with a password",
        {"config": config(ANN, cluster(**{"proxy-url": "{sockslogin}"}))},
        user="ann",
    ),
    Case(
        "SOCKS5 with a wrong password",
        {"config": config(ANN, cluster(**{"proxy-url": "{sockswrong}"}))},
        says=("socks connect", "does not accept the user and password"),
    ),
    Case(
        "a proxy of a kind nobody knows",
        {"config": config(ANN, cluster(**{"proxy-url": "gopher://127.0.0.1:1"}))},
        says=("unsupported scheme|invalid", "not a supported kind of proxy"),
    ),
    Case(
        "HTTPS_PROXY",
        {
            "config": config(
                ANN, cluster(**{"server": "https://api.example:{port}", "tls-server-name": "kubernetes"})
            )
        },
        {"HTTPS_PROXY": "{http}"},
        user="ann",
    ),
    Case(
        "https_proxy",
        {
            "config": config(
                ANN, cluster(**{"server": "https://api.example:{port}", "tls-server-name": "kubernetes"})
            )
        },
        {"https_proxy": "{http}"},
        user="ann",
    ),
    Case(
        "HTTPS_PROXY without a scheme",
        {
            "config": config(
                ANN, cluster(**{"server": "https://api.example:{port}", "tls-server-name": "kubernetes"})
            )
        },
        {"HTTPS_PROXY": "{httpbare}"},
        user="ann",
    ),
    Case(
        "HTTPS_PROXY is not for this machine",
        {"config": config(ANN)},
        {"HTTPS_PROXY": "{refusing}"},
        user="ann",
    ),
    Case(
        "NO_PROXY",
        {"config": config(ANN, cluster(server="https://api.example:{port}"))},
        {"HTTPS_PROXY": "{refusing}", "NO_PROXY": ".example"},
        says=("no such host|lookup|server misbehaving", "no address"),
    ),
    Case(
        "a proxy-url whatever NO_PROXY says",
        {
            "config": config(
                ANN,
                cluster(
                    **{
                        "server": "https://api.example:{port}",
                        "proxy-url": "{http}",
                        "tls-server-name": "kubernetes",
                    }
                ),
            )
        },
        {"NO_PROXY": "*"},
        user="ann",
    ),
    Case(
        "a proxy-url wins over HTTPS_PROXY",
        {
            "config": config(
                ANN,
                cluster(
                    **{
                        "server": "https://api.example:{port}",
                        "proxy-url": "{socks}",
                        "tls-server-name": "kubernetes",
                    }
                ),
            )
        },
        {"HTTPS_PROXY": "{refusing}"},
        user="ann",
    ),
)

CASES = TOKENS + CERTIFICATES + TRUST + PLUGINS + MERGED + FORMS + AS + PROXIES
