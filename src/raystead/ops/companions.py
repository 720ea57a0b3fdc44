"""The companions of a cluster: the other documents of its file, checked before anything is changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from raystead.base import names
from raystead.manifests.context import Context
from raystead.manifests.facts import Choices, Facts
from raystead.manifests.lease import lease_name
from raystead.manifests.render import manifests
from raystead.manifests.storage import inline_password
from raystead.ops import secrets
from raystead.spec.load import unpacked
from raystead.spec.model import Json, RayCluster
from raystead.spec.problems import Problem, SpecNote, problems_error
from raystead.spec.yamlio import Document, Path, dotted, read

__all__ = ["Companions", "beside", "checked", "refusals", "waits_for_role", "word"]

# What lives outside of namespaces, of Kubernetes itself and of what accompanies Ray; a kind that is not
# listed here is found out by asking the server.
_CLUSTER_SCOPED = frozenset(
    (
        "APIService",
        "CSIDriver",
        "ClusterIssuer",
        "ClusterPolicy",
        "ClusterQueue",
        "ClusterRole",
        "ClusterRoleBinding",
        "Cohort",
        "CustomResourceDefinition",
        "DeviceClass",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "ResourceFlavor",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "WorkloadPriorityClass",
    )
)
Key = tuple[str, str, str]  # API group, kind, name


BROUGHT_BY = "raystead.io/brought-by"


class Companions(Struct, frozen=True):
    """The documents to apply, where each stands in its file, and what was left out."""

    documents: tuple[Json, ...]
    places: tuple[str, ...]
    notes: tuple[SpecNote, ...]


def word(item: Json) -> str:
    return f"{item['kind']}/{item['metadata']['name']}"


def checked(
    cluster: RayCluster, documents: Sequence[Document], filename: str, namespace: str | None
) -> Companions:
    """The companions that may be applied.

    Args:
        namespace: where the cluster goes; None where only an offline rendering is wanted.

    Raises:
        SpecError: with all that is wrong with them, each with its line.
    """
    check = _Check(filename, namespace or cluster.metadata.namespace, _reserved(cluster) if documents else {})
    kept = [document for document in documents if check.keeps(document)]
    if check.problems:
        raise problems_error(check.problems)
    places = tuple(f"{filename}:{document.at(())[0]}" for document in kept)
    applied = tuple(_provable(document.value, cluster.name) for document in kept)
    return Companions(applied, places, tuple(check.notes))


def beside(text: str, filename: str, namespace: str | None) -> list[Problem]:
    """What is wrong with the companions of a file whose cluster is refused, so that all is told at once.

    What needs the cluster to be judged is left out: names that raystead takes, and the namespace unless it
    was chosen.
    """
    documents, unreadable = read(text, filename)
    check = _Check(filename, namespace, {})
    for document in () if unreadable else (item for whole in documents for item in unpacked(whole)):
        if _is_companion(document.value):
            check.keeps(document)
    return check.problems


def _is_companion(value: object) -> bool:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(metadata, dict):
        return False
    named = (value.get("apiVersion"), value.get("kind"), metadata.get("name"))
    return all(isinstance(one, str) and one for one in named) and not str(named[0]).startswith("ray.io/")


def _provable(item: Json, cluster: str) -> Json:
    """The document, with a mark where it has nothing but a name, as a ServiceAccount may.

    The server notes who applied a field, and `down -f` removes only what is noted as ours.
    """
    if set(item) - {"apiVersion", "kind", "metadata"} or set(item["metadata"]) - {"name", "namespace"}:
        return item
    return {**item, "metadata": {**item["metadata"], "annotations": {BROUGHT_BY: cluster}}}


class _Check:
    def __init__(self, filename: str, namespace: str | None, reserved: dict[Key, str]) -> None:
        self.filename, self.namespace, self.reserved = filename, namespace, reserved
        self.problems: list[Problem] = []
        self.notes: list[SpecNote] = []
        self._seen: dict[Key, int] = {}

    def keeps(self, document: Document) -> bool:
        """Whether the document is to be applied; what is wrong with it is noted down."""
        item = document.value
        if item["kind"] in _CLUSTER_SCOPED:
            self._cluster_scoped(document)
            return False
        namespace = item["metadata"].get("namespace")
        if self.namespace and namespace not in (None, self.namespace):
            what = f'the {item["kind"]} is for another namespace than the chosen one, "{self.namespace}"'
            self._problem(document, ("metadata", "namespace"), what, "remove it or choose it with -n")
        key = _key(item)
        if key in self.reserved:
            what = f"{word(item)} is {self.reserved[key]} of this very cluster, which raystead makes itself"
            self._problem(document, ("metadata", "name"), what, "give it another name")
        elif key in self._seen:
            what = f"{word(item)} appears twice, first on line {self._seen[key]}"
            self._problem(document, ("metadata", "name"), what, "keep one")
        self._seen.setdefault(key, document.at(())[0])
        return True

    def _cluster_scoped(self, document: Document) -> None:
        item = document.value
        name = item["metadata"]["name"]
        if item["kind"] == "Namespace" and name == self.namespace:
            what = f"Namespace/{name} is left out: raystead makes and changes no namespaces"
            self.notes.append(SpecNote(self.filename, *document.at(()), "", what))
            return
        what = f"{word(item)} belongs to no namespace, and raystead works in one alone"
        instead = "remove it here, and have an administrator apply it"
        if item["kind"] == "Namespace":
            instead = f"remove it here; where that namespace is there, choose it with -n {name}"
        self._problem(document, ("kind",), what, instead)

    def _problem(self, document: Document, path: Path, what: str, instead: str) -> None:
        self.problems.append(Problem(self.filename, *document.at(path), dotted(path), what, instead))


def _key(item: Json) -> Key:
    group, slash, _ = str(item["apiVersion"]).partition("/")
    return (group if slash else "", str(item["kind"]), str(item["metadata"]["name"]))


def _reserved(cluster: RayCluster) -> dict[Key, str]:
    """What raystead makes for the cluster, whatever the namespace is like: its key, and a word for it."""
    context = Context(cluster, Facts(), Choices(policies="always"))
    name = cluster.name
    out: dict[Key, str] = {("", "ConfigMap", names.anchor(name)): "the anchor"}
    for item in manifests(cluster, context.facts, context.choices):
        out[_key(item)] = "an object"
        for claim in (item.get("spec") or {}).get("volumeClaimTemplates") or ():
            out["", "PersistentVolumeClaim", f"{claim['metadata']['name']}-{item['metadata']['name']}-0"] = (
                "a claim"
            )
    for secret in secrets.needed(cluster, context.facts, inline_password(cluster)):
        out["", "Secret", secret.name] = "a Secret"
    out["batch", "Job", lease_name(name)] = "the lease"
    out["", "Pod", f"{name}-redis-cleanup"] = "a pod"
    return out


def refusals(placed: Iterable[tuple[Json, str]], owner_of: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Companions that are objects of a cluster of ours; `owner_of` gives the cluster by kind and name."""
    for item, place in placed:
        owner = owner_of.get((item["kind"], item["metadata"]["name"]))
        if owner:
            yield f'{place}: {word(item)} is an object of the cluster "{owner}"; give it another name'


def waits_for_role(item: Json, others: Iterable[Json]) -> bool:
    """A binding of a Role that comes with it: before the Role is there the server cannot check it."""
    if item["kind"] != "RoleBinding":
        return False
    named = (item.get("roleRef") or {}).get("name")
    return any(one["kind"] == "Role" and one["metadata"]["name"] == named for one in others)
