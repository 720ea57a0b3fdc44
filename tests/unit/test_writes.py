"""Every request that changes something in a namespace: which there are, and what proves that it meets ours.

A new one fails here until its row says so.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import raystead
from raystead.errors import ApiError, Busy, Conflict, ObjectNotFound
from raystead.kube.answers import error_of
from raystead.kube.api import Api
from raystead.ops.writes import apply_over

SOURCE = Path(raystead.__file__).parent
DRY = "a dry-run"
NEW = "POST: it fails where the name is taken"
OWN = "what was just made: the answer's uid"
SEEN = "an object that `planning` has proved (owner and label), by the uid that it saw"
WRITES = {
    ("kube", "Api.create"): "the door itself",
    ("kube", "Api.apply"): "the door itself",
    ("kube", "Api.replace"): "the door itself",
    ("kube", "Api.patch"): "the door itself; takes no patch without a uid",
    ("kube", "Api.delete"): "the door itself; deletes nothing without a uid",
    # the anchor: the lock
    ("ops/up", "_write_anchor", "create"): NEW,
    ("ops/up", "_write_anchor", "replace"): "the resourceVersion that was read",
    # objects
    ("ops/writes", "apply_over", "apply"): SEEN + "; new where the plan saw none",
    ("ops/up", "apply.one", "apply"): "new: the plan saw none, or what it replaces is gone",
    ("ops/up", "_Keeping.make", "apply"): "new: what it replaces is gone",
    ("ops/up", "_Keeping.hang_pods", "patch"): "pods with an owner reference to this anchor or its keeper",
    ("ops/up", "_Keeping._own", "patch"): "the anchor's uid",
    ("ops/writes", "delete", "delete"): SEEN + "; pods of a steward by their owner",
    ("ops/secrets", "make", "create"): NEW,
    ("ops/secrets", "make", "patch"): "a Secret with an owner reference to this anchor",
    ("ops/keepers", "claims_go_along", "patch"): "claims that `ownership.owned` proves",
    ("ops/idle", "_annotate", "patch"): "pods that `own_pods` proves",
    ("ops/nudging", "_touch", "patch"): "makers that `owned` proves, pods that `own_pods` proves",
    # down
    ("ops/down", "_Deleting._delete", "delete"): "what `ownership.owned` proves",
    ("ops/down", "_keep", "patch"): "claims that `ownership.owned` proves",
    ("ops/removing", "remove", "delete"): "a file's document of which the server noted that only we applied it",
    ("ops/rediskeys", "remove", "create"): NEW,
    ("ops/rediskeys", "remove", "delete"): OWN,
    ("ops/rediskeys", "_remove_old", "delete"): "a pod with an owner reference to this anchor",
    # run
    ("ops/lease", "Lease.__init__", "create"): NEW,
    ("ops/lease", "Lease.follow", "patch"): OWN,
    ("ops/lease", "Lease._renew", "patch"): OWN,
    ("ops/lease", "Lease._delete", "delete"): OWN,
    ("ops/verify", "_Proof.fault", "delete"): "pods that `own_pods` proves",
    # autoscale: the steward's requests with the user's rights
    ("ops/autoscale", "_UserRights.request", "create"): NEW,
    ("ops/autoscale", "_UserRights.request", "patch"): "as `incluster/kept` asks for it",
    ("ops/autoscale", "_UserRights.request", "delete"): "as `incluster/hands` asks for it",
    ("incluster/hands", "Hands._make", "POST"): NEW,
    ("incluster/hands", "Hands._delete", "DELETE"): "pods whose only owner is the cluster's",
    ("incluster/kept", "Kept._write", "PATCH"): "the uid and resourceVersion of the ConfigMap that was read",
    # doctor
    ("ops/probe", "probe", "create"): "a name of 122 random bits",
    ("ops/probe", "probe", "delete"): "a name of 122 random bits, and the uid where it is known",
    ("ops/doctor", "_companions.one", "apply"): DRY,
    ("ops/doctor", "_jobs", "apply"): DRY,
    ("ops/checking", "answers_to.answer", "create"): DRY,
    ("ops/dryrun", "dry_run", "apply"): DRY,
    ("ops/dryrun", "dry_run.ask", "apply"): DRY,
    ("ops/facts", "_restricted", "create"): DRY,
    ("ops/facts", "probe_claim", "create"): DRY,
    ("ops/rights", "rights", "create"): "a review: nothing is kept",
    ("ops/rights", "may", "create"): "a review: nothing is kept",
    ("ops/rights", "user_name", "create"): "a review: nothing is kept",
}  # fmt: skip
VERBS = {"create", "apply", "replace", "patch", "delete"}
METHODS = {"POST", "PUT", "PATCH", "DELETE"}


def calls(tree: ast.AST, within: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], ast.Call]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from calls(node, (*within, node.name))
        else:
            if isinstance(node, ast.Call):
                yield within, node
            yield from calls(node, within)


def verb_of(call: ast.Call) -> str:
    """The verb of a request to the API server; "" of any other call."""
    if not isinstance(call.func, ast.Attribute):
        return ""
    if call.func.attr in ("request", "_json", "_request") and call.args:
        method = call.args[0]
        return str(method.value) if isinstance(method, ast.Constant) and method.value in METHODS else ""
    of = ast.unparse(call.func.value)
    return call.func.attr if call.func.attr in VERBS and of.split(".")[-1] in ("api", "_api") else ""


def writes() -> Iterator[tuple[tuple[str, ...], ast.Call]]:
    for path in sorted(SOURCE.rglob("*.py")):
        module = path.relative_to(SOURCE).with_suffix("").as_posix()
        if module.startswith("rayapi/") or module == "incluster/dashboard":
            continue  # Ray's own HTTP
        for within, call in calls(ast.parse(path.read_text())):
            if verb := verb_of(call):
                where = ".".join(within)
                yield (("kube", where) if module == "kube/api" else (module, where, verb)), call


def test_every_write_has_its_proof() -> None:
    found = {key for key, _ in writes()}
    assert found - set(WRITES) == set(), "say what proves that it meets an object of ours"
    assert set(WRITES) - found == set(), "no such write any more"


def test_dry_runs_are() -> None:
    for key, call in writes():
        if WRITES.get(key) == DRY:
            assert "dry_run=True" in ast.unparse(call), key


@pytest.mark.parametrize("verb", ["patch", "delete"])
def test_no_door_takes_a_patch_or_a_delete_without_a_uid(verb: str) -> None:
    uid = inspect.signature(getattr(Api, verb)).parameters["uid"]
    assert uid.default is inspect.Parameter.empty
    assert uid.kind is inspect.Parameter.KEYWORD_ONLY


class Server:
    """As much of an Api as a change needs: it refuses the first apply, and has the object of this uid."""

    namespace = "team"

    def __init__(self, status: int, there: str | None) -> None:
        self.status, self.there = status, there
        self.applied: list[Any] = []

    def apply(self, path: str, body: Any, force: bool = False) -> Any:
        self.applied.append(body["metadata"].get("uid"))
        if len(self.applied) == 1:
            raise (Conflict if self.status == 409 else ApiError)("refused", status=self.status)
        return body

    def get(self, path: str) -> Any:
        if self.there is None:
            raise ObjectNotFound("gone", status=404)
        return {"metadata": {"uid": self.there}}


@pytest.mark.parametrize(
    ("status", "there", "outcome", "applied"),
    [
        (409, "seen", Conflict, ["seen"]),  # fields of another manager
        (422, "seen", ApiError, ["seen"]),  # a mistake of the spec
        (409, "another", Busy, ["seen"]),
        (409, None, None, ["seen", None]),  # gone meanwhile: made again
        (403, "another", ApiError, ["seen"]),
    ],
)
def test_a_change_meets_the_object_that_was_seen_or_none(
    status: int, there: str | None, outcome: type[Exception] | None, applied: list[str | None]
) -> None:
    server = Server(status, there)
    item = {"kind": "Service", "metadata": {"name": "x"}}
    prepared: Any = SimpleNamespace(
        api=server, uids={("Service", "x"): "seen"}, cluster=SimpleNamespace(name="demo"), force=False
    )
    paths: Any = SimpleNamespace(path=lambda item, namespace: "/api/v1/namespaces/team/services/x")
    if outcome is None:
        assert apply_over(prepared, paths, item) is item
    else:
        with pytest.raises(outcome) as caught:
            apply_over(prepared, paths, item)
        assert type(caught.value) is outcome
    assert server.applied == applied


def test_a_patch_that_finds_another_object_is_a_conflict() -> None:
    """The server tells it as a change of a field that is immutable."""
    message = 'Pod "x" is invalid: metadata.uid: Invalid value: "b": field is immutable'
    text = json.dumps({"kind": "Status", "status": "Failure", "message": message, "code": 422})
    error = error_of(422, text, what="apply pods/x", context="c")
    assert isinstance(error, Conflict)
    assert str(error) == "apply pods/x: another object has this name by now"
