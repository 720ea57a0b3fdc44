"""How a file is read: flags over it, lists of clusters, nulls, numbers beyond measure, other encodings."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import time
from collections.abc import Callable

import pytest
import yaml

from raystead.base import quantities
from raystead.cli.options import read_file
from raystead.errors import SpecError, UsageError
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests
from raystead.ops.run import _stem
from raystead.ops.specs import desired
from raystead.spec.flags import Flags, build
from raystead.spec.load import load
from raystead.spec.model import Json
from raystead.spec.podshape import check
from raystead.spec.text import MAX_BYTES, decode

FILE = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: mine, namespace: team}
spec:
  headGroupSpec:
    rayStartParams: {}
    template:
      spec:
        containers:
        - name: ray-head
          image: rayproject/ray:2.60.0
          resources: {limits: {cpu: "1", memory: 2Gi}}
  workerGroupSpecs:
  - groupName: small
    replicas: 1
    rayStartParams: {}
    template:
      spec:
        containers:
        - name: ray-worker
          image: rayproject/ray:2.60.0
          resources: {limits: {cpu: "1", memory: 2Gi}}
"""

HEALED = [
    # (what stands in the file, what stands instead, the flags that put it right)
    ("replicas: 1", "replicas: many", Flags(workers=2)),
    ("replicas: 1", "replicas: -1", Flags(workers=2)),
    ("image: rayproject/ray:2.60.0", "image: 2.60", Flags(image="rayproject/ray:2.60.0")),
    ("name: mine", "name: My_Cluster", Flags(name="mine")),
    ("name: mine", "generateName: mine-", Flags(name="mine")),
    ("name: mine, ", "", Flags(name="mine")),
    ("memory: 2Gi", "memory: 500m", Flags(head_memory="2Gi")),
    ("memory: 2Gi", "memory: lots", Flags(head_memory="2Gi")),
    ("spec:\n  head", "spec:\n  rayVersion: 2.6\n  head", Flags(ray_version="2.60.0")),
    (
        "spec:\n  head",
        "spec:\n  gcsFaultToleranceOptions: {}\n  head",
        Flags(redis_address="redis.example:6379"),
    ),
    (
        "name: mine",
        "name: mine, annotations: {raystead.io/redis-memory: lots}",
        Flags(redis_memory="2Gi"),
    ),
]


@pytest.mark.parametrize(("old", "new", "flags"), HEALED, ids=[h[1][:40] for h in HEALED])
def test_a_flag_puts_a_file_right_before_its_rules_are_asked(old: str, new: str, flags: Flags) -> None:
    text = FILE.replace(old, new, 1)
    with pytest.raises(SpecError):
        load(text, "f.yaml")
    assert load(text, "f.yaml", flags).cluster.name == "mine"


def test_what_a_flag_breaks_is_told_of_the_flag_and_the_rest_of_the_file() -> None:
    with pytest.raises(SpecError) as caught:
        load(FILE.replace("replicas: 1", "maxReplicas: -1"), "f.yaml", Flags(name="Mine", head_memory="500m"))
    text = caught.value.diagnostics()
    assert 'flags: metadata.name: "Mine" is not a valid cluster name' in text
    assert "flags: spec.headGroupSpec.template.spec.containers[0].resources.limits.memory: 500m" in text
    assert "f.yaml:15:5: spec.workerGroupSpecs[0].maxReplicas: -1 is negative" in text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("headGroupSpec:", "head:", "head: there is no such field here"),
        ("groupName: small", "name: small", "groupName: this field is missing"),
        ("replicas: 1", "min_replicas: 1", "did you mean minReplicas?"),
    ],
)
def test_names_of_our_own_code_are_no_fields(old: str, new: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(FILE.replace(old, new, 1), "f.yaml")
    assert words in str(caught.value)


def test_a_wrong_field_is_told_once() -> None:
    with pytest.raises(SpecError, match="a problem:") as caught:
        load(FILE.replace("name: mine", "name: 12"), "f.yaml")
    assert "f.yaml:3:12: metadata.name: expected a string, got the number 12" in str(caught.value)


def test_flags_alone_are_checked_like_a_file() -> None:
    with pytest.raises(SpecError, match="500m is thousandths of a byte; did you mean 500Mi"):
        build(Flags(worker_memory="500m"))


def test_little_memory_is_questioned_in_flags_too() -> None:
    (note,) = desired(Flags(worker_memory="128Mi")).notes
    assert str(note).endswith("limits.memory: 128Mi is little memory for Ray; did you mean 4Gi?")
    assert desired(Flags()).notes == ()


def test_what_stands_in_a_file_does_not_reach_the_terminal_as_commands() -> None:
    with pytest.raises(SpecError) as caught:
        load(FILE.replace("name: mine", 'name: "a\\e]0;title\\a\\nb"'), "f.yaml")
    assert caught.value.problems[0].what.startswith('"a\x1b')  # type: ignore[attr-defined]
    assert all(character.isprintable() or character == "\n" for character in str(caught.value))


def test_null_is_absent_wherever_it_stands() -> None:
    """As the API server prunes it; `helm template` writes many."""
    document = yaml.safe_load(FILE)
    plain = load(FILE, "f.yaml").cluster
    with_nulls: Json = json.loads(json.dumps(document))
    fields: dict[str, tuple[str, ...]] = {
        "spec": ("rayVersion", "gcsFaultToleranceOptions", "authOptions", "networkPolicy", "upgradeStrategy"),
        "head": ("headService", "serviceType", "resources", "labels", "enableIngress", "replicas"),
        "worker": ("minReplicas", "maxReplicas", "numOfHosts", "scaleStrategy", "priority", "suspend"),
    }
    spec = with_nulls["spec"]
    spec.update(dict.fromkeys(fields["spec"]))
    spec["headGroupSpec"].update(dict.fromkeys(fields["head"]))
    spec["workerGroupSpecs"][0].update(dict.fromkeys(fields["worker"]))
    spec["headGroupSpec"]["rayStartParams"] = {"num-cpus": None}
    spec["headGroupSpec"]["template"]["spec"]["affinity"] = None
    read = load(json.dumps(with_nulls), "f.json").cluster
    assert read == plain
    assert read.document() == plain.document()


def listed(kind: str, *items: Json, api: str = "v1") -> str:
    return json.dumps({"apiVersion": api, "kind": kind, "metadata": {}, "items": list(items)})


def test_a_list_of_one_cluster_is_that_cluster_with_its_lines() -> None:
    item = yaml.safe_load(FILE)
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}}
    bare = {key: value for key, value in item.items() if key not in ("apiVersion", "kind")}
    assert load(listed("List", claim, item), "f").foreign == (claim,)
    assert load(listed("RayClusterList", bare, api="ray.io/v1"), "f").cluster.name == "mine"
    inner = json.loads(listed("RayClusterList", item, api="ray.io/v1"))
    assert load(listed("List", inner), "f").cluster.name == "mine"
    item["spec"]["workerGroupSpecs"][0]["replicas"] = -1
    with pytest.raises(SpecError, match=r"f.yaml:\d\d+:\d+: spec.workerGroupSpecs\[0\].replicas"):
        load(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [claim, item]}), "f.yaml")


def test_two_thousand_clusters_in_a_list_are_refused_in_seconds() -> None:
    text = listed("List", *[yaml.safe_load(FILE)] * 2000)
    began = time.process_time()
    with pytest.raises(SpecError, match="a second RayCluster"):
        load(text, "f.json")
    assert time.process_time() - began < 10


def test_two_thousand_foreign_documents_are_read_in_seconds() -> None:
    claim = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
    text = listed("List", yaml.safe_load(FILE), *[claim] * 2000)
    began = time.process_time()
    assert len(load(text, "f.json").foreign) == 2000
    assert time.process_time() - began < 10


def test_a_foreign_document_without_a_name_is_told_with_its_line() -> None:
    text = f"{FILE}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{generateName: x-}}\n"
    with pytest.raises(SpecError, match=r"f.yaml:26:1: metadata: this ConfigMap has no name"):
        load(text, "f.yaml")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_unicode_encoding_is_read(encoding: str) -> None:
    text = FILE.replace("team", "täm😀")
    assert decode(text.encode(encoding), "f") == text


def test_json_of_other_programs_is_read() -> None:
    document = yaml.safe_load(FILE)
    document["metadata"]["annotations"] = {"note": "ä😀\t/"}
    text = decode(json.dumps(document, indent="\t").encode(), "f")  # the emoji as two escapes
    assert load(text, "f").cluster.annotations == {"note": "ä😀\t/"}


@pytest.mark.parametrize("between", ["\n", "", "  \r\n\n"])
def test_json_objects_one_after_the_other_are_documents_with_their_lines(between: str) -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
    text = between.join([json.dumps(other, indent=2), json.dumps(yaml.safe_load(FILE), indent=2)])
    assert [one["kind"] for one in load(text, "f").foreign] == ["ConfigMap"]
    broken = text.replace('"replicas"', '"replica"')
    line = broken[: broken.index('"replica"')].count("\n") + 1
    with pytest.raises(SpecError) as caught:
        load(broken, "f")
    assert [problem.line for problem in caught.value.problems] == [line]


@pytest.mark.parametrize("character", ["\x1a", "\0", "\x07", "\ud800", "\uffff"])
def test_a_character_that_yaml_may_not_hold_is_told_where_it_is(character: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(f"{FILE}# ä\n # {character}", "f")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (FILE.count("\n") + 2, 4)


def test_a_file_beyond_any_spec_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(SpecError, match="the file has 16 MiB"):
        decode(b" " * (MAX_BYTES + 1), "f")


@pytest.mark.parametrize(
    ("pack", "says"),
    [(gzip.compress, "a gzip file"), (lzma.compress, "an xz file"), (bz2.compress, "a bzip2 file")],
)
def test_a_packed_file_is_told_to_be_unpacked(pack: Callable[[bytes], bytes], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        decode(pack(FILE.encode()), "f.gz")


FOREIGN = {
    "Chart.yaml": (
        "{apiVersion: v2, name: ray-cluster, version: 1.0.0}",
        "helm template NAME . | raystead up -f -",
    ),
    "v/values.yaml": (
        "{nameOverride: kuberay, common: {}}",
        "helm template NAME kuberay/ray-cluster -f v/values.yaml",
    ),
    "k/kustomization.yaml": (
        "{resources: [a.yaml], namePrefix: x-}",
        "kubectl kustomize k | raystead up -f -",
    ),
    "base.yaml": ("{resources: [a.yaml]}", "this is a kustomization"),
    "compose.yaml": ("{services: {ray: {image: rayproject/ray}}}", "Docker Compose"),
    "lower.yaml": (
        "{apiVersion: ray.io/v1, kind: raycluster}",
        "did you mean apiVersion: ray.io/v1, kind: RayCluster?",
    ),
    "api.yaml": ("{apiVersion: kuberay.io/v1, kind: RayJob}", "there is no RayJob of kuberay.io/v1"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_tool_is_called_what_it_is(name: str) -> None:
    text, says = FOREIGN[name]
    with pytest.raises(SpecError) as caught:
        load(text, name)
    assert says in caught.value.diagnostics()


PASTED = [
    # (what stands before the file, what is said of which line)
    ("$ kubectl get raycluster mine -o yaml\n", "f.yaml:1:1: this line is a command, not YAML"),
    (
        "\nWarning: ray.io/v1alpha1 RayCluster is deprecated\n",
        "f.yaml:2:1: this line is a message of kubectl",
    ),
    (
        'Error from server (NotFound): rayclusters.ray.io "mine" not found\n',
        "f.yaml:1:1: this line is a message",
    ),
    ("W1127 10:00:00.1 1 warnings.go:70] unknown field\n", "f.yaml:1:1: this line is a message of kubectl"),
    ("diff --git a/f.yaml b/f.yaml\n", "f.yaml:1:1: this is a patch"),
    ("# My cluster\n\n```yaml\n", "f.yaml:3:1: this is Markdown"),
    ("<<<<<<< HEAD\n", "f.yaml:1:1: this is a conflict of a merge"),
    ('#@ load("@ytt:data", "data")\n', "ytt -f FILE | raystead up -f -"),
    ("sops: {mac: x}\n", "sops decrypt f.yaml | raystead up -f -"),
]


@pytest.mark.parametrize(("before", "says"), PASTED)
def test_what_stands_around_a_pasted_file_is_called_what_it_is(before: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(before + FILE, "f.yaml")
    assert says in caught.value.diagnostics()
    assert len(caught.value.problems) == 1


UNSEEN = [
    # (what stands in the file, what stands instead, what is said)
    ("name: mine", "name: mine\u200b", "metadata.name: there is a U+200B in it, which cannot be seen"),
    ("  headGroupSpec", "  \u200bheadGroupSpec", "spec.headGroupSpec: there is a U+200B in it"),
    ("replicas: 1", "r\u0435plicas: 1", "there is no such field here: it has U+0435; did you mean replicas?"),
    ("image: ray", "\u0456mage: ray", "there is no such field here: it has U+0456; did you mean image?"),
    ("image: ray", "image:\u00a0ray", "after the colon stands U+00A0, which is not a space"),
    ("rayStartParams: {}", 'rayStartParams: {"": x}', '"" cannot be a parameter of ray start; remove it'),
]


@pytest.mark.parametrize(("old", "new", "says"), UNSEEN)
def test_letters_that_cannot_be_told_from_others_are_named(old: str, new: str, says: str) -> None:
    assert old in FILE
    with pytest.raises(SpecError) as caught:
        load(FILE.replace(old, new, 1), "f.yaml")
    assert says in caught.value.diagnostics()
    without_image = new.startswith("\u0456")  # that is told too
    assert len(caught.value.problems) == 1 + without_image


def test_replicas_over_their_maximum_are_fewer_and_that_is_noted() -> None:
    found = load(FILE.replace("replicas: 1", "replicas: 9\n    maxReplicas: 2"), "f.yaml")
    assert found.cluster.spec.workers[0].wanted == 2
    assert [note.what for note in found.notes] == ["9 is over maxReplicas: 2 are made, as KubeRay does"]


def test_a_fence_inside_a_text_is_text() -> None:
    other = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: |\n    ```\n    kind: x\n    ```\n"
    assert load(FILE + other, "f.yaml").foreign[0]["data"] == {"a": "```\nkind: x\n```\n"}


def test_files_put_together_keep_no_mark_of_their_encoding() -> None:
    other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
    for between in ("---\n\ufeff", "\ufeff---\n"):
        text = decode(f"\ufeff{FILE}{between}{other}".encode(), "f.yaml")
        assert [one["kind"] for one in load(text, "f.yaml").foreign] == ["ConfigMap"]


NUMBERS = [
    # (what stands in the file, what stands instead, how many replicas that is, or what is said)
    ("replicas: 1", "replicas: 2.0", 2),  # as Helm writes numbers
    ("replicas: 1", "replicas: 1e+01", 10),
    ("replicas: 1", 'replicas: !!int "3"', 3),
    ("replicas: 1", "replicas: 2.5", "expected a whole number, got the number 2.5"),
    ("replicas: 1", 'replicas: "2"', "expected a whole number, got a string; write it without quotes"),
    ("replicas: 1", 'suspend: "true"', "expected true or false, got a string; write it without quotes"),
    ("replicas: 1", "replicas: ${N}", "it is a variable of a template: envsubst < FILE | raystead up -f -"),
    ("replicas: 1", "replicas: two", "expected a whole number, got a string"),
    ("rayStartParams: {}\n    template:\n      spec:\n        containers:\n        - name: ray-worker",
     "rayStartParams: {}\n    template:\n      spec:\n        terminationGracePeriodSeconds: ${N}\n"
     "        containers:\n        - name: ray-worker", "it is a variable of a template"),
    ("image: rayproject/ray:2.60.0", "image: “rayproject/ray:2.60.0”",
     'typographic quotes, which YAML takes for text; write "rayproject/ray:2.60.0"'),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "result"), NUMBERS)
def test_numbers_in_other_dress_are_read_or_told_how_to_write_them(
    old: str, new: str, result: int | str
) -> None:
    assert old in FILE
    text = FILE.replace(old, new, 1)
    if isinstance(result, int):
        assert load(text, "f.yaml").cluster.spec.workers[0].replicas == result
        return
    with pytest.raises(SpecError) as caught:
        load(text, "f.yaml")
    assert result in caught.value.diagnostics()


def test_a_large_user_id_of_helm_is_a_whole_number_in_the_pod() -> None:
    text = FILE.replace(
        "      spec:\n", "      spec:\n        securityContext: {runAsUser: 1.00065e+09}\n", 1
    )
    pod = load(text, "f.yaml").cluster.spec.head.template.spec
    assert repr(pod["securityContext"]["runAsUser"]) == "1000650000"


@pytest.mark.parametrize(
    ("old", "new"), [("name: mine", "name: '${NAME}'"), ("rayproject/ray:2.60.0", "$REPO/${IMAGE}")]
)
def test_a_variable_of_a_template_is_told_to_be_filled_in(old: str, new: str) -> None:
    assert old in FILE
    with pytest.raises(SpecError, match=r"envsubst < FILE \| raystead up -f -"):
        load(FILE.replace(old, new, 1), "f.yaml")


AMOUNTS = ["1e999999999", "1e-999999999999", "9" * 5000, "²", "1e19", "9e18E", "inf", "nan", "1_000", "٣"]


@pytest.mark.parametrize("amount", AMOUNTS)
def test_an_amount_beyond_measure_is_a_sentence(amount: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=r"not a valid quantity|more than Kubernetes can count"):
        quantities.ceil(amount)
    with pytest.raises(SpecError):
        load(FILE.replace('cpu: "1"', f'cpu: "{amount}"', 1), "f.yaml")
    with pytest.raises(SpecError):
        build(Flags(worker_cpu=amount))
    assert time.process_time() - began < 5


def test_less_than_a_billionth_is_a_billionth() -> None:
    assert quantities.ceil("1e-99999999") == 1


PARAMS = [
    ("port: '²'", '"²" is not a valid port'),
    ("port: '0'", '"0" is not a valid port'),
    (f"port: '{'9' * 5000}'", "is not a valid port"),
    ("num-cpus: '²'", '"²" is not a whole number'),
    ("object-store-memory: 1e9", "expected a string, got the number 1000000000.0"),
    ("object-store-memory: 1Gi", "Ray takes bytes: '1073741824'"),
    ("""resources: '{"a": 1}'""", 'write \'"{\\"a\\": 1}"\''),
    ("""resources: '{"a": "it''s"}'""", "the shell takes the quotes"),
    ("resources: a=1", '"a=1" is not a JSON object'),
]


@pytest.mark.parametrize(("param", "words"), PARAMS, ids=[p[0][:30] for p in PARAMS])
def test_a_parameter_that_ray_or_the_shell_would_misread_is_told(param: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(FILE.replace("rayStartParams: {}", f"rayStartParams:\n      {param}", 1), "f.yaml")
    assert words in str(caught.value)
    assert "f.yaml:7:7:" in str(caught.value)


@pytest.mark.parametrize("value", ['{"a": 1}', '{"a": "it\'s"}', '{"a": "b\\"c", "d": {"e": 0.5}}'])
def test_the_spelling_that_a_message_offers_is_read_as_that_json(value: str) -> None:
    import re
    import shlex

    quoted = json.dumps(value)
    with pytest.raises(SpecError) as caught:
        load(FILE.replace("rayStartParams: {}", f"rayStartParams: {{system-config: {quoted}}}", 1), "f.yaml")
    offered = re.search(r"write (.*)$", str(caught.value))
    assert offered
    text = FILE.replace("rayStartParams: {}", f"rayStartParams:\n      system-config: {offered[1]}", 1)
    cluster = load(text, "f.yaml").cluster
    (word,) = shlex.split(cluster.spec.head.ray_start_params["system-config"])
    assert json.loads(word) == json.loads(value)


TEMPLATES = [
    # (what the Ray container gets, a part of the sentence; None: nothing is said)
    ("limits: {nvidia.com/gpu: 0.5}", "counted in whole numbers, not 0.5"),
    ("limits: {nvidia.com/gpu: 1}, requests: {nvidia.com/gpu: 2}", "they must be equal"),
    ("limits: {gpu: 1}", "Kubernetes has no resource gpu; did you mean nvidia.com/gpu?"),
    ("limits: {memory: 4}", "4 is less than a mebibyte; did you mean 4Gi?"),
    ("limits: {memory: 512}", "did you mean 512Mi?"),
    ("limits: {cpu: 500m}, requests: {cpu: 1}", "the request for cpu, 1, is over its limit, 500m"),
    ("limits: {ephemeral-storage: 1500m}", "1500m is thousandths of a byte"),
    ("limits: {hugepages-2Mi: 1Gi, memory: 2Gi, cpu: 1}", None),
    ("limits: {memory: 1181116006400m}", None),
    ("limits: {memory: 1.5Gi, cpu: 0.5}", None),
    ("requests: {memory: 1}", None),
]


@pytest.mark.parametrize(("resources", "words"), TEMPLATES, ids=[t[0][:40] for t in TEMPLATES])
def test_amounts_that_kubernetes_refuses_or_nobody_means(resources: str, words: str | None) -> None:
    text = FILE.replace('resources: {limits: {cpu: "1", memory: 2Gi}}', f"resources: {{{resources}}}", 1)
    if words is None:
        load(text, "f.yaml")
        return
    with pytest.raises(SpecError) as caught:
        load(text, "f.yaml")
    assert words in str(caught.value)
    assert "f.yaml:12:" in str(caught.value)


COMMANDS = [
    ('["pip install a"]', None),
    ('["pip install a &&"]', 'the command ends in "&&"'),
    ('["sleep 9 &"]', 'the command ends in "&"'),
    ('["a;"]', 'the command ends in ";"'),
    ('["a |\\n"]', 'the command ends in "|"'),
    ('["a # done"]', None),
    ('["a\\n# done\\n"]', "the command ends in a comment"),
    ('["ray start --head --block &"]', None),
]


@pytest.mark.parametrize(("command", "words"), COMMANDS)
def test_a_command_that_cannot_be_joined_to_ray_start_is_told(command: str, words: str | None) -> None:
    text = FILE.replace("- name: ray-head", f"- name: ray-head\n          command: {command}", 1)
    if words is None:
        load(text, "f.yaml")
        return
    with pytest.raises(SpecError) as caught:
        load(text, "f.yaml")
    assert words in str(caught.value)
    assert "f.yaml:11:11:" in str(caught.value)


def test_fields_newer_than_the_table_are_a_note_and_reach_the_pod() -> None:
    text = FILE.replace("- name: ray-head", "- name: ray-head\n          quantumLane: 3", 1)
    file = load(text, "f.yaml")
    (note,) = file.notes
    assert "f.yaml:11:11:" in str(note)
    assert "this field is not known to raystead; the API server decides" in str(note)
    (head,) = (
        o
        for o in manifests(file.cluster, Facts())
        if o["metadata"]["name"] == "mine-head" and o["kind"] == "Deployment"
    )
    assert head["spec"]["template"]["spec"]["containers"][0]["quantumLane"] == 3


def test_kubernetes_own_objects_are_checked_wherever_they_stand() -> None:
    text = FILE.replace(
        "spec:\n", "spec:\n  networkPolicy: {head: {ingressRules: [{form: []}]}}\n", 1
    ).replace(
        "    rayStartParams", "    headService: {spec: {port: [], type: NodePort}}\n    rayStartParams", 1
    )
    with pytest.raises(SpecError) as caught:
        load(text, "f.yaml")
    assert "f.yaml:5:42: spec.networkPolicy.head.ingressRules[0].form" in str(caught.value)
    assert "did you mean from?" in str(caught.value)
    assert "f.yaml:7:26: spec.headGroupSpec.headService.spec.port" in str(caught.value)
    assert "did you mean ports?" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"containers": [{"image": "a"}]}, "name is missing"),
        (
            {"containers": [{"name": "a", "args": [1]}]},
            "expected a string, got the number 1; write it in quotes",
        ),
        ({"containers": [{"name": "a", "tty": "true"}]}, "got a string; write it without quotes"),
        ({"containers": {}}, "expected a list, got a mapping"),
        ({"containers": [], "securityContext": []}, "expected a mapping, got a list"),
        ({"containers": [], "nodeSelector": {"a": True}}, "got the boolean true; write it in quotes"),
        ({"containers": [], "priority": 1.5}, "expected a whole number, got the number 1.5"),
        ({"containers": [], "tolerations": [None]}, "expected an entry, got nothing"),
        (
            {"containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": True}]}]},
            "got the boolean true",
        ),
    ],
)
def test_a_value_of_a_wrong_type_is_a_sentence(value: Json, words: str) -> None:
    problems, notes = check(value, "PodSpec", ())
    assert not notes
    assert [words in str(problem.what + "; " + problem.instead) for problem in problems] == [True]


def test_flags_over_what_is_broken_inside_a_template_are_a_sentence() -> None:
    text = FILE.replace(
        "        containers:",
        "        volumes: [{name: v, persistentVolumeClaim: data}]\n        containers:",
        1,
    )
    with pytest.raises(SpecError, match="expected a mapping, got a string"):
        load(text, "f.yaml", Flags(mount=("data:/data",)))


def test_a_run_of_a_listed_cluster_is_named_after_it() -> None:
    assert _stem(listed("List", yaml.safe_load(FILE)), "f") == "mine"
    assert _stem(FILE, "f") == "mine"
    assert _stem("a: [", "f") == "run"


def test_a_closed_standard_input_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        read_file("-")


@pytest.mark.parametrize("items", ["null", "[]", "{}"])
def test_a_list_without_items_is_a_file_without_a_cluster(items: str) -> None:
    with pytest.raises(SpecError, match="there is no RayCluster in this file"):
        load(f"apiVersion: v1\nkind: List\nitems: {items}\n", "f.yaml")


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("rayproject/ray:2.9.0-py39", "2.9.0"),
        ("h:5000/mirror/ray:2.44.1", "2.44.1"),
        ("rayproject/ray:2.44.1@sha256:" + "a" * 64, "2.44.1"),
        ("rayproject/ray:latest", "2.60.0"),
        ("acme/trainer:1.4.2", "2.60.0"),
    ],
)
def test_an_image_tells_rays_version_where_its_tag_does(image: str, version: str) -> None:
    assert build(Flags(image=image)).spec.ray_version == version
