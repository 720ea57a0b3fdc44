"""kubeconfig files: found, read, merged and checked as kubectl does it.

Of several files the first current-context wins, and of two entries with one name the first; relative paths
count from the file they are in. A missing or empty file is not an error, one that cannot be read is.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raystead.errors import KubeConfigError

__all__ = ["Chosen", "blob", "choose", "contents", "paths", "sought"]

Json = dict[str, Any]
_MOST = 2**23  # bytes of a file; a machine's whole CA bundle has 200 KiB
_DEPTH = 100  # levels of nesting; a kubeconfig has six
_FILES = {"clusters": ("certificate-authority",), "users": ("client-certificate", "client-key", "tokenFile")}
_TEXTS = {
    "cluster": (
        "server",
        "proxy-url",
        "tls-server-name",
        "certificate-authority",
        "certificate-authority-data",
    ),
    "user": (
        *("token", "tokenFile", "username", "password", "as", "as-uid"),
        *("client-certificate", "client-certificate-data", "client-key", "client-key-data"),
    ),
    "context": ("cluster", "user", "namespace"),
}
_PATH_SAFE = re.compile(r"[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Chosen:
    """What a context names; paths in it are whole.

    Attributes:
        context: the context's name.
        namespace: the context's own, or "default".
        cluster, user: as they stand in the file, under kubectl's names.
        shown: the files, for messages.
    """

    context: str
    namespace: str
    cluster: Json
    user: Json = field(repr=False)
    user_name: str
    shown: str


def sought(kubeconfig: str | None) -> str:
    """Where a kubeconfig is looked for, for messages."""
    return kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"


def paths(kubeconfig: str | None) -> list[Path]:
    """The files there are: the flag's, else those of KUBECONFIG, else the one in the home directory."""
    if kubeconfig:
        return [path] if (path := Path(kubeconfig)).exists() else []
    listed = os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")  # noqa: PTH111  # no HOME: no error
    parts = dict.fromkeys(listed.split(os.pathsep) if os.environ.get("KUBECONFIG") else [listed])
    return [path for part in parts if part and _exists(path := Path(part))]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # not to be seen is not missing: reading it says why
        return True


def choose(files: list[Path], context: str | None) -> Chosen | None:
    """The context's server and user, or None where the files hold nothing at all.

    Raises:
        KubeConfigError: a file cannot be read, or the context cannot be used; all of its problems at once.
    """
    shown = os.pathsep.join(map(str, files))
    documents = [_document(path) for path in files]
    merged: dict[str, dict[str, Json]] = {"clusters": {}, "users": {}, "contexts": {}}
    current = ""
    for document in documents:
        current = current or document["current-context"]
        for kind, entries in merged.items():
            for name, entry in document[kind].items():
                entries.setdefault(name, entry)
    if not context and not current and not any(merged.values()):
        return None
    name = context or current
    entry = _context(merged["contexts"], name, shown)
    cluster_name, user_name = entry.get("cluster") or "", entry.get("user") or ""
    cluster = merged["clusters"].get(cluster_name)
    nobody = None if user_name else dict.fromkeys(_TEXTS["user"], "")
    user = merged["users"].get(user_name, nobody)
    problems = []
    if cluster is None:
        problems.append(f'its context "{name}" names the cluster "{cluster_name}", which is not there')
    else:
        problems += _cluster_problems(cluster_name, cluster)
    if user is None:
        problems.append(f'its context "{name}" names the user "{user_name}", which is not there')
    else:
        problems += _user_problems(user_name, user)
    namespace = entry.get("namespace") or "default"
    if not _PATH_SAFE.fullmatch(namespace):
        problems.append(f'its context "{name}" has the namespace "{namespace[:80]}", which cannot be one')
    if problems or cluster is None or user is None:
        raise unusable(shown, "; ".join(problems))
    return Chosen(name, namespace, cluster, user, user_name, shown)


def unusable(shown: str, evidence: str) -> KubeConfigError:
    return KubeConfigError(
        f"the kubeconfig {shown} cannot be used", evidence=evidence, remedy="kubectl config view"
    )


def blob(entry: Json, key: str) -> bytes | None:
    """What an entry gives as base64 under `key`-data, or in the file under `key`; None without either.

    Raises:
        ValueError: it is not base64.
        OSError: the file cannot be read.
    """
    if data := entry.get(f"{key}-data"):
        try:
            return base64.b64decode("".join(data.split()), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"{key}-data is not base64") from None
    return contents(Path(entry[key])) if entry.get(key) else None


def contents(path: Path) -> bytes:
    """A file's bytes, of which there are some KiB; /dev/zero would never end.

    Raises:
        OSError: it cannot be read.
        ValueError: it has more than any such file.
    """
    with path.open("rb") as file:
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise ValueError(f"{path} has more than {_MOST // 2**20} MiB")
    return data


# -- one file -----------------------------------------------------------------------------------------


def _document(path: Path) -> Json:
    """current-context, and clusters, users and contexts by name, with whole paths."""
    try:
        value = _parsed(contents(path))
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise ValueError("expected a mapping with clusters, users and contexts")
        version, kind = value.get("apiVersion") or "v1", value.get("kind") or "Config"
        if (version, kind) != ("v1", "Config"):
            raise ValueError(f"it is a {kind} of {version}, not a Config of v1")
        out: Json = {"current-context": _text(value, "current-context", "")}
        for kinds, inner in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
            out[kinds] = dict(_entries(value, kinds, inner))
            for entry in out[kinds].values():
                _resolve(entry, _FILES.get(kinds, ()), path.parent)
    except OSError as error:
        raise unusable(str(path), error.strerror or type(error).__name__) from error
    except ValueError as error:
        raise unusable(str(path), str(error)) from None
    return out


def _parsed(data: bytes) -> Any:
    """The first document of a file. Errors never quote its text: it holds secrets."""
    if not data.strip():
        return None
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    # Go's YAML knows no dates
    Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)
    try:
        depth = 0
        for event in yaml.parse(data, Loader=Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEPTH:
                raise ValueError(f"it is nested more than {_DEPTH} levels deep")
            if isinstance(event, yaml.DocumentEndEvent):
                break
        return Loader(data).get_data()
    except yaml.reader.ReaderError as error:
        raise ValueError(f"it is not UTF-8 text: {error.reason} at byte {error.position}") from None
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{where}{error.problem}") from None
    except (yaml.YAMLError, RecursionError, OverflowError) as error:
        raise ValueError(f"it is not YAML ({type(error).__name__})") from None


def _entries(document: Json, kinds: str, inner: str) -> Iterator[tuple[str, Json]]:
    listed = document.get(kinds)
    if listed is None:
        return
    if not isinstance(listed, list):
        raise ValueError(f"{kinds}: expected a list, got {_kind(listed)}")
    seen = set()
    for index, item in enumerate(listed):
        where = f"{kinds}[{index}]"
        if item is None:
            item = {}
        if not isinstance(item, dict):
            raise ValueError(f"{where}: expected a mapping, got {_kind(item)}")
        name = _text(item, "name", f"{where}.")
        if name in seen:
            raise ValueError(f'{kinds} has two entries named "{name}"')
        seen.add(name)
        entry = item.get(inner)
        if entry is None:
            entry = {}
        if not isinstance(entry, dict):
            raise ValueError(f"{where}.{inner}: expected a mapping, got {_kind(entry)}")
        texts = {key: _text(entry, key, f"{where}.{inner}.") for key in _TEXTS[inner]}
        yield name, {**entry, **texts}


def _text(item: Json, key: str, where: str) -> str:
    value = item.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{where}{key}: expected a string, got {_kind(value)}; put it in quotes")
    return value


def _kind(value: object) -> str:
    """What a value is, never the value: it may be a secret."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "a mapping")


def _resolve(entry: Json, keys: tuple[str, ...], folder: Path) -> None:
    """Makes paths whole: relative ones count from the file's folder."""
    for key in keys:
        if entry.get(key):
            entry[key] = str(folder.absolute() / entry[key])
    plugin = entry.get("exec")
    if isinstance(plugin, dict) and isinstance(plugin.get("command"), str) and os.sep in plugin["command"]:
        entry["exec"] = {**plugin, "command": str(folder.absolute() / plugin["command"])}


# -- what cannot work ---------------------------------------------------------------------------------


def _context(contexts: dict[str, Json], name: str, shown: str) -> Json:
    listed = f"{shown} has the contexts: {', '.join(contexts) or 'none'}"
    if not name:
        remedy = "--context NAME or kubectl config use-context NAME"
        raise KubeConfigError("the kubeconfig has no current context", evidence=listed, remedy=remedy)
    if name not in contexts:
        what = f'the kubeconfig has no context "{name}"'
        import difflib

        near = difflib.get_close_matches(name, contexts, 1) or (list(contexts) if len(contexts) == 1 else [])
        raise KubeConfigError(what, evidence=listed, remedy=f"--context {near[0] if near else 'NAME'}")
    return contexts[name]


def _cluster_problems(name: str, cluster: Json) -> Iterator[str]:
    if not cluster["server"]:
        yield f'its cluster "{name}" has no server'
    if cluster["certificate-authority"] and cluster["certificate-authority-data"]:
        yield f'its cluster "{name}" has certificate-authority and certificate-authority-data'
    if not isinstance(cluster.get("insecure-skip-tls-verify") or False, bool):
        yield f'its cluster "{name}" has an insecure-skip-tls-verify that is neither true nor false'
    elif cluster.get("insecure-skip-tls-verify") and (
        cluster["certificate-authority"] or cluster["certificate-authority-data"]
    ):
        yield f'its cluster "{name}" has a certificate-authority and says insecure-skip-tls-verify: one only'
    yield from _unreadable("cluster", name, cluster, ("certificate-authority",))


def _user_problems(name: str, user: Json) -> Iterator[str]:
    with_certificate = user["client-certificate"] or user["client-certificate-data"]
    ways = [
        *(["a token"] if user["token"] else []),
        *(["a user name with a password"] if user["username"] or user["password"] else []),
    ]
    if with_certificate and not (user["client-key"] or user["client-key-data"]):
        yield f'its user "{name}" has a client-certificate without its client-key'
    if len(ways) > 1:
        yield f'its user "{name}" has {" and ".join(ways)}: only one of them can be meant'
    for key in ("client-certificate", "client-key"):
        if user[key] and user[f"{key}-data"]:
            yield f'its user "{name}" has {key} and {key}-data'
    if user.get("auth-provider"):
        kind = user["auth-provider"].get("name") if isinstance(user["auth-provider"], dict) else None
        yield (
            f'its user "{name}" logs in by auth-provider{f" {kind}" if kind else ""}, '
            "which was removed from Kubernetes' clients in favour of exec plugins"
            + _SUCCESSORS.get(str(kind), "")
        )
    if not user["as"] and any(user.get(key) for key in ("as-groups", "as-uid", "as-user-extra")):
        yield f'its user "{name}" has as-groups, as-uid or as-user-extra without "as"'
    if not _texts(user.get("as-groups") or []):
        yield f'its user "{name}" has as-groups that is not a list of strings'
    extra = user.get("as-user-extra") or {}
    if not isinstance(extra, dict) or not all(_texts(values) for values in extra.values()):
        yield f'its user "{name}" has an as-user-extra that is not a mapping of names to lists of strings'
    if with_certificate:
        yield from _unreadable("user", name, user, ("client-certificate", "client-key"))


_SUCCESSORS = {
    "gcp": " (gke-gcloud-auth-plugin: gcloud container clusters get-credentials writes the new form)",
    "azure": " (kubelogin: kubelogin convert-kubeconfig writes the new form)",
    "oidc": " (kubectl oidc-login, also called kubelogin, is such a plugin)",
}


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _unreadable(what: str, name: str, entry: Json, keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        try:
            blob(entry, key)
        except ValueError as error:
            yield f'its {what} "{name}": {error}'
        except OSError as error:
            yield f'its {what} "{name}": {key} {entry[key]}: {error.strerror}'
