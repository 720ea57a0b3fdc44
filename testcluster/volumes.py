"""The test cluster's volume provisioner: a directory on the node for each claim of class `standard`.

A namespace labelled `raystead.test/volumes=never` gets none: there a claim stays Pending, as where an
administrator made no default class or the storage is full.
"""

import shutil
import sys
import threading
from pathlib import Path

from api import Api, Mirror, Object

PROVISIONER = "raystead.test/directory"
CLAIMS, VOLUMES, NAMESPACES = (
    "/api/v1/persistentvolumeclaims",
    "/api/v1/persistentvolumes",
    "/api/v1/namespaces",
)


def volume_for(claim: Object, directory: str) -> Object:
    metadata = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{metadata['uid']}",
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
        },
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "storageClassName": claim["spec"]["storageClassName"],
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {"kind": "PersistentVolumeClaim", "apiVersion": "v1"}
            | {k: metadata[k] for k in ("namespace", "name", "uid")},
            "hostPath": {"path": directory, "type": "Directory"},
        },
    }


def wanted(claim: Object, namespaces: dict[tuple[str, str], Object]) -> bool:
    space = namespaces.get(("", claim["metadata"]["namespace"]), {"metadata": {}})
    refused = (space["metadata"].get("labels") or {}).get("raystead.test/volumes") == "never"
    waits = claim["spec"].get("storageClassName") == "standard" and not claim["spec"].get("volumeName")
    return waits and not refused and not claim["metadata"].get("deletionTimestamp")


def main(pki: str, server: str, root: str) -> None:
    changed = threading.Event()
    api = Api(pki, server)
    claims, volumes, namespaces = mirrors = [
        Mirror(api, path, changed.set) for path in (CLAIMS, VOLUMES, NAMESPACES)
    ]
    for mirror in mirrors:
        mirror.listed.wait()
    made: set[str] = set()
    while True:
        changed.clear()
        for claim in claims.objects.values():
            uid = claim["metadata"]["uid"]
            if uid not in made and wanted(claim, namespaces.objects):
                directory = f"{root}/{uid}"
                Path(directory).mkdir(parents=True, exist_ok=True)
                Path(directory).chmod(
                    0o777
                )  # any uid writes, with or without fsGroup, which hostPath does not honour
                api.call("POST", VOLUMES, volume_for(claim, directory))
                made.add(uid)
        for volume in volumes.objects.values():
            by_us = (volume["metadata"].get("annotations") or {}).get(
                "pv.kubernetes.io/provisioned-by"
            ) == PROVISIONER
            if by_us and (volume.get("status") or {}).get("phase") in ("Released", "Failed"):
                api.call("DELETE", f"{VOLUMES}/{volume['metadata']['name']}")
                shutil.rmtree(volume["spec"]["hostPath"]["path"], ignore_errors=True)
        changed.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
