"""Runs every RayCluster, RayJob and RayCronJob of a folder, such as KubeRay's samples, and judges it by what
its author meant.

.venv/bin/python bench/samples.py kuberay/ray-operator/config/samples [--only NAME]   (root, make cluster)

Each file gets a fresh namespace on the test cluster and a user with `edit` there; `admin` where it brings a
Role or autoscales, which needs one; every right there where its Role gives rights that `admin` has not.
`up -f FILE` once, with a time limit; what `sample_checks.py` looks at, of a job `sample_jobs.py`; `down -f
FILE`; nothing may be left. The results are kept in --results, file by file; the tables of docs/deviations.md
are printed at the end.

The file is changed in these ways only, so that it fits on one machine without a registry:
- an image rayproject/ray:… or redis:… has the tag that the test cluster has, and no pull is forced;
- more than 2 CPUs become 2, more than 4 GiB become 4, more than 2 replicas become 2;
- `namespace: default` becomes the fresh namespace;
- `pip` of a runtime environment is left out, and the program's line that asserts a version which it installs;
- a RayCronJob ticks every minute;
- a login shell (`bash -lc`) becomes `bash -c`: the test cluster's image has no profile with Ray in its PATH.
"""

# ruff: noqa: E402  # the helpers of the cluster tests are not a package

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests" / folder) for folder in ("kit", "cluster")]

from cli import RAYSTEAD, Cli
from conftest import enter
from fixtures import USERS, fresh, user_in
from kube import Kube, pod, until
from sample_checks import Finding, Subject, documents, everything, findings, left
from sample_jobs import KINDS, job_findings
from sample_own import own_check
from settings import setting

Json = dict[str, Any]
_KIND = re.compile(r"^kind: *(RayCluster|RayJob|RayCronJob)\s*$", re.MULTILINE)
_GENERATED = re.compile(r"this job is (\S+);")  # of a file with generateName, which names no job for `down`
_NEEDS_ADMIN = re.compile(r"^kind: Role|^  enableInTreeAutoscaling: true", re.MULTILINE)
_GIVES_MORE = re.compile(r"^kind: Role$.*^ *- apiGroups: \[\"ray.io\"\]", re.MULTILINE | re.DOTALL)
_GIB = {"Gi": 1.0, "G": 0.93, "Mi": 1 / 1024, "M": 1 / 1074}
# what this machine has not, by what stands in the file
_CANNOT = (
    (r"google\.com/tpu", "TPUs"),
    (r"nvidia\.com/gpu", "GPUs"),
    (r"image: (?!rayproject/ray:|redis:)(\S+)", "the image {}"),
    (r"apiVersion: scheduling\.(run\.ai|volcano\.sh)", "the CRDs of {}"),
    (r"node\.gke\.io/enable-writable-cgroups", "nodes with writable cgroups"),
    (r"iam\.gke\.io/", "GKE's identities and its bucket"),
    (r"https://(storage\.googleapis|github)\.com", "a way to the internet"),
    (r"^kind: Queue$", "the CRDs of volcano.sh"),
    (r"ray\.experimental import sandbox", "gVisor"),
)
# what the author's own words say to make first
_SECRET = {"ray-cluster.auth-manual.yaml": ("ray-cluster-with-auth", "auth_token=raycluster_secret")}
_SELECTED = {"ray-job.use-existing-raycluster.yaml": "ray-cluster-kuberay"}  # a cluster of that name
_NODE_LABELS = {
    "ray-cluster-label-selector.yaml": (
        "cloud.google.com/machine-family=N4",
        "cloud.google.com/gke-spot=true",
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", default=[], help="part of a file's name")
    parser.add_argument("--results", type=Path, default=Path(tempfile.gettempdir()) / "raystead-samples.json")
    parser.add_argument("--table", action="store_true", help="only print the table of the results")
    options = parser.parse_args()
    results: dict[str, Json] = json.loads(options.results.read_text()) if options.results.exists() else {}
    if not options.table:
        admin = Kube(Path(setting("$(binary kubectl)")), Path(setting("$PKI/admin.conf")))
        enter(setting("$NETNS"))
        for path in sorted(options.folder.rglob("*.y*ml")):
            text = path.read_text()
            match = _KIND.search(text)
            if match and (not options.only or any(part in path.name for part in options.only)):
                results[path.name] = {"kind": match[1], **judge(admin, path.name, text)}
                options.results.write_text(json.dumps(results, indent=1))
                print(path.name, json.dumps(results[path.name]), flush=True)
    for kind in ("RayCluster", "RayJob", "RayCronJob"):
        found = {name: result for name, result in results.items() if result.get("kind", "RayCluster") == kind}
        if found:
            print(f"\n{kind}:\n{table(found)}")


def cannot(text: str) -> str:
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for pattern, words in _CANNOT:
        if found := re.search(pattern, bare, re.MULTILINE):
            return words.format(*found.groups())
    return ""


def fitted(text: str, namespace: str) -> str:
    """The file as this machine can run it; the rules are in the module's docstring."""
    tag = f"{setting('$RAY')}-py311"
    text = re.sub(r"(image: *['\"]?rayproject/ray):[\w.-]+", rf"\g<1>:{tag}", text)
    text = re.sub(r"(image: *['\"]?redis):[\w.-]+", r"\g<1>:7.0.15", text)
    text = re.sub(r"(imagePullPolicy: *)Always", r"\g<1>IfNotPresent", text)
    text = re.sub(
        r"^(\s+cpu: *)\"?(\d+)\"? *$", lambda m: f'{m[1]}"{min(int(m[2]), 2)}"', text, flags=re.MULTILINE
    )
    text = re.sub(r"^(\s+memory: *)\"?(\d+)(Gi|G|Mi|M)\"? *$", _memory, text, flags=re.MULTILINE)
    text = re.sub(
        r"^(\s*-?\s*(?:replicas|minReplicas): *)(\d+) *$",
        lambda m: m[1] + str(min(int(m[2]), 2)),
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(r"^( *)pip:\n(?:\1 +- .*\n)+", "", text, flags=re.MULTILINE)
    text = re.sub(r"^ *assert \w+\.__version__ == .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(  schedule: *).*$", r'\1"* * * * *"', text, flags=re.MULTILINE)
    text = text.replace('"/bin/bash", "-lc"', '"/bin/bash", "-c"')
    return re.sub(r"^(\s*namespace: *)default *$", rf"\g<1>{namespace}", text, flags=re.MULTILINE)


def _memory(found: re.Match[str]) -> str:
    much = int(found[2]) * _GIB[found[3]] > 4
    return f"{found[1]}4Gi" if much else found[0]


def judge(admin: Kube, name: str, text: str) -> Json:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(fitted(text, "default"))
        rendered = subprocess.run([RAYSTEAD, "render", "-f", str(path)], capture_output=True, text=True)
        if rendered.returncode:
            return {"refused": reason(rendered.stderr)}
        if lacks := cannot(text):
            return {"cannot": lacks}
        with fresh(admin) as space:
            path.write_text(fitted(text, space.namespace))
            role = "admin" if _NEEDS_ADMIN.search(text) else "edit"
            role = "cluster-admin" if _GIVES_MORE.search(text) else role
            user = user_in(admin, space, role, Path(folder))
            try:
                with prepared(admin, space, name):
                    return run(space, Cli(user), path)
            finally:
                admin.at(USERS).run("delete", "serviceaccount", f"{space.namespace}-{role}")


def reason(options: str) -> str:
    found = re.findall(r"\.yaml:\d+:\d+: (.*)", options)
    return found[0] if found else options.strip().splitlines()[0]


@contextlib.contextmanager
def prepared(admin: Kube, space: Kube, name: str) -> Iterator[None]:
    """What the author makes first, and a pod of somebody else's in the same namespace."""
    labels = _NODE_LABELS.get(name, ())
    if secret := _SECRET.get(name):
        space.run("create", "secret", "generic", secret[0], f"--from-literal={secret[1]}")
    image = f"rayproject/ray:{setting('$RAY')}-py311"
    space.apply(pod("visitor", image, ["sleep", "3600"]))
    until(lambda: space.get("pod", "visitor")["status"]["phase"] == "Running", 60, "the visitor runs")
    if labels:
        admin.run("label", "node", "--all", *labels)
    try:
        yield
    finally:
        if labels:
            admin.run("label", "node", "--all", *(one.partition("=")[0] + "-" for one in labels))


def run(space: Kube, cli: Cli, path: Path) -> Json:
    if name := _SELECTED.get(path.name):
        cli("up", "--name", name, "--workers", "1", "--yes", timeout=600)
    before = everything(space)
    begun = time.monotonic()
    up = cli("up", "-f", str(path), "--timeout", "5m", "--yes", code=None, timeout=600)
    result: Json = {"up": up.returncode, "seconds": round(time.monotonic() - begun)}
    if up.returncode:
        result["options"] = up.stderr[-1500:]
    looked = []
    if up.returncode == 0:
        looked = list(_looked_at(space, cli, path, up.stdout + up.stderr))
    result["wrong"] = list(dict.fromkeys(f.wrong for f in looked if f.wrong))
    result["looked"] = list(dict.fromkeys(f.what for f in looked if not f.wrong))
    made = _GENERATED.search(up.stdout + up.stderr)
    down = cli("down", *([made[1]] if made else ["-f", str(path)]), "--yes", code=None, timeout=300)
    result["down"] = down.returncode
    if down.returncode:
        result["wrong"].append(f"down ended with {down.returncode}")
        result["down_options"] = down.stderr[-1000:]
    try:
        until(lambda: not left(space, before), 60, "nothing is left", every=1)
    except AssertionError:
        result["wrong"].append(f"left behind: {' '.join(left(space, before))}")
    return result


def _looked_at(space: Kube, cli: Cli, path: Path, told: str) -> Iterator[Finding]:
    found = documents(path)
    job = next((d for d in found if d.get("kind") in KINDS), None)
    if job is None:
        yield from findings(Subject(space, found), own_check(path.name))
        return
    if made := _GENERATED.search(told):
        job["metadata"]["name"] = made[1]
    name = (job["spec"].get("clusterSelector") or {}).get("ray.io/cluster")
    metadata = {"name": name} if name else job["metadata"]
    cluster = job["spec"].get("rayClusterSpec") or {"headGroupSpec": {}}
    subject = Subject(space, [{"kind": "RayCluster", "metadata": metadata, "spec": cluster}, *found])
    try:
        yield from job_findings(path.name, subject, job, cli)
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        yield Finding("its end", f"{type(error).__name__}: {str(error)[-400:]}")


# looked at in every file, and not named in the table
_ALWAYS = re.compile(
    r"\d+ (pods of|nodes in|CPUs of)|container (?!redis|autoscaler)|a task$|a detached actor$"
    r"|Service of type ClusterIP|port (6379|8265|10001) from the cluster"
)


def table(results: dict[str, Json]) -> str:
    ran = {n: r for n, r in results.items() if "up" in r}
    ready = sum(r["up"] == 0 for r in ran.values())
    full = sum(r["up"] == 0 and not r["wrong"] for r in ran.values())
    refused = sum("refused" in r for r in results.values())
    lines = [
        f"{len(results)} samples: {refused} refused by name, {len(results) - refused - len(ran)} need what "
        f"the test cluster has not. Of the {len(ran)} that it can run {ready} were ready at the first `up`, "
        f"and {full} did in full what their author meant.",
        "",
        "| sample | here | looked at beside what is always looked at, or why |",
        "|---|---|---|",
    ]
    for name, one in sorted(results.items()):
        if "refused" in one:
            lines.append(f"| `{name}` | refused | {one['refused']} |")
        elif "cannot" in one:
            lines.append(f"| `{name}` | not run | the test cluster has not: {one['cannot']} |")
        elif one["up"]:
            lines.append(f"| `{name}` | not ready | exit code {one['up']} |")
        elif one["wrong"]:
            lines.append(f"| `{name}` | ready | wrong: {'; '.join(one['wrong'])} |")
        else:
            named = [what for what in one["looked"] if not _ALWAYS.match(what)]
            lines.append(f"| `{name}` | in full | {'; '.join(named)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
