"""A cluster of the anchor's first format, as it lies on a server, is taken over by `up`: no pod template changes."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dying import access_of
from kube import Kube

from raystead.base import kinds
from raystead.kube.api import Api
from raystead.kube.paths import collection, path_of
from raystead.ops.anchor import FORMAT
from raystead.ops.living import live_objects
from raystead.ops.planning import existing, prepare, wanted
from raystead.ops.up import apply
from raystead.plan.fields import differences
from raystead.plan.model import Action
from raystead.spec.flags import Flags

pytestmark = pytest.mark.api
Json = dict[str, Any]
RECORDINGS = sorted((Path(__file__).parents[1] / "data/format1").glob("*.json"))


@pytest.fixture
def api(namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]) -> Api:
    return Api(access_of(as_user(namespace(quota={"pods": "0"}), "edit")))


def brought(api: Api, saved: Json) -> str:
    """Puts the recorded cluster on the server as its raystead did; the cluster's name."""
    anchor = copy.deepcopy(saved["anchor"])
    for key in ("uid", "resourceVersion", "creationTimestamp"):
        del anchor["metadata"][key]
    anchor["metadata"]["namespace"] = api.namespace
    facts = {**json.loads(anchor["data"]["facts"]), "namespace": api.namespace}
    anchor["data"]["facts"] = json.dumps(facts, sort_keys=True)
    uid = api.create(collection(api.namespace, "ConfigMap"), anchor)["metadata"]["uid"]
    text = json.dumps([*saved["secrets"], *saved["objects"]])
    text = text.replace(saved["anchor"]["metadata"]["uid"], uid).replace(".team.svc", f".{api.namespace}.svc")
    for item in json.loads(text):
        item["metadata"]["namespace"] = api.namespace
        if item["kind"] == "Secret":
            item["data"] = dict.fromkeys(item["data"], "c2VjcmV0")
        api.apply(path_of(api.namespace, item["kind"], item["metadata"]["name"]), item)
    return str(anchor["metadata"]["labels"]["raystead.io/cluster"])


def templates(api: Api, name: str) -> dict[str, Json]:
    """The pod templates of a cluster by their makers' names."""
    found = live_objects(api, name)
    return {
        item["metadata"]["name"]: template
        for items in found.values()
        for item in items
        if (template := kinds.pod_template(item)) is not None
    }


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_an_up_takes_it_over_and_changes_no_pod_template(api: Api, path: Path) -> None:
    name = brought(api, json.loads(path.read_text()))
    before = templates(api, name)
    assert before

    _, asked, anchor = wanted(api, Flags(name=name))
    assert anchor is not None
    prepared = prepare(api, asked, anchor)
    assert prepared.plan.problems == ()
    # this namespace does not restrict egress: such a recording's egress policies go
    lost = prepared.plan.of(Action.DELETE, Action.REPLACE)
    assert [change.kind for change in lost if change.kind != "NetworkPolicy"] == []
    apply(prepared, lambda event: None)

    after = templates(api, name)
    assert [differences(before[one], after.get(one, {})) for one in before] == [()] * len(before)
    now = existing(api, name)
    assert now is not None
    assert now.raw["data"]["format"] == str(FORMAT)
    assert now.uid == anchor.uid
    _, asked, anchor = wanted(api, Flags(name=name))
    assert not prepare(api, asked, anchor).mutates
