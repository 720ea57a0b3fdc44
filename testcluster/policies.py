"""The test cluster's network policy engine: NetworkPolicy, Pod and Namespace objects become iptables
rules.

No policy engine builds from the package registries, and a policy test on a cluster that enforces nothing
proves nothing. `rules` is pure and holds all the meaning; `main` keeps the kernel's rules equal to it.
The rules live in the mangle table: there, service addresses are already translated to pods, and kube-
proxy, which owns much of filter and nat, has nothing.

What it promises: podSelector, namespaceSelector, ipBlock with except, ports by number, by name and by
range, both directions, and that replies to an allowed connection pass. Traffic from the node itself
(kubelet's probes) always passes, a pod always reaches itself, host-network pods are left alone. What it
does not: a pod is filtered from the moment the API server knows its address, which is up to a second
after the container started; IPv4 only.
"""

import hashlib
import ipaddress
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator

from api import Api, Mirror, Object

ROOT = "RAYSTEAD-POLICY"
HOOKS = (
    "FORWARD",
    "INPUT",
)  # between pods and to the outside; from a pod to its node, where the API server listens
ANYWHERE = "0.0.0.0/0"


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector takes these labels; the empty one takes all."""
    for name, value in (selector.get("matchLabels") or {}).items():
        if labels.get(name) != value:
            return False
    for term in selector.get("matchExpressions") or []:
        has, values = term["key"] in labels, term.get("values") or []
        verdict = {
            "In": has and labels.get(term["key"]) in values,
            "NotIn": not has or labels[term["key"]] not in values,
            "Exists": has,
            "DoesNotExist": not has,
        }[term["operator"]]
        if not verdict:
            return False
    return True


def labels_of(item: Object) -> dict[str, str]:
    return item["metadata"].get("labels") or {}


def address(pod: Object) -> str:
    """The address a policy can select; none for host-network pods, finished ones and IPv6."""
    status = pod.get("status") or {}
    ip = status.get("podIP") or ""
    if pod["spec"].get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed") or ":" in ip:
        return ""
    return ip


def directions(spec: Object) -> list[str]:
    """policyTypes with its default: Ingress always, Egress if there are egress rules."""
    return spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def networks(block: Object) -> list[str]:
    """An ipBlock less its exceptions, as networks that iptables can say."""
    left = [ipaddress.ip_network(block["cidr"], strict=False)]
    for text in block.get("except") or []:
        hole = ipaddress.ip_network(text, strict=False)
        rest = []
        for network in left:
            if not network.overlaps(hole):
                rest.append(network)
            elif network.prefixlen < hole.prefixlen:
                rest.extend(network.address_exclude(hole))
        left = rest
    return [str(network) for network in sorted(left) if network.version == 4]


Spaces = dict[str, dict[str, str]]  # the labels of each namespace
Peer = tuple[str, Object | None]  # an address or network, and the pod behind it if it was chosen as a pod


def peers(terms: list[Object] | None, home: str, pods: list[Object], spaces: Spaces) -> Iterator[Peer]:
    """Whom the `from` or `to` of one rule names; nothing said means everybody."""
    if not terms:
        yield ANYWHERE, None
    for term in terms or []:
        if block := term.get("ipBlock"):
            for network in networks(block):
                yield network, None
            continue
        space_selector, pod_selector = term.get("namespaceSelector"), term.get("podSelector") or {}
        for pod in pods:
            space = pod["metadata"]["namespace"]
            chosen = (
                space == home if space_selector is None else matches(space_selector, spaces.get(space, {}))
            )
            if chosen and address(pod) and matches(pod_selector, labels_of(pod)):
                yield address(pod), pod


def named_port(pod: Object | None, name: str, protocol: str) -> list[int]:
    containers = (
        [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])] if pod else []
    )
    ports = [port for container in containers for port in container.get("ports") or []]
    return [
        p["containerPort"] for p in ports if p.get("name") == name and p.get("protocol", "TCP") == protocol
    ]


def port_matches(ports: list[Object] | None, server: Object | None) -> Iterator[str]:
    """iptables' words for the ports of one rule; `server`, the pod connected to, resolves names."""
    if not ports:
        yield ""
    for port in ports or []:
        protocol, number = port.get("protocol", "TCP"), port.get("port")
        word = f" -p {protocol.lower()}"
        if number is None:
            yield word
        elif isinstance(number, str):
            yield from (f"{word} --dport {n}" for n in named_port(server, number, protocol))
        else:
            yield f"{word} --dport {number}" + (f":{port['endPort']}" if port.get("endPort") else "")


def pod_rules(
    pod: Object, direction: str, policies: list[Object], pods: list[Object], spaces: Spaces
) -> list[str]:
    """What `pod` may receive (Ingress) or begin (Egress), each an iptables match, none twice."""
    inbound = direction == "Ingress"
    allowed: dict[str, None] = {}
    for policy in policies:
        for rule in policy["spec"].get(direction.lower()) or []:
            for network, peer in peers(
                rule.get("from" if inbound else "to"), policy["metadata"]["namespace"], pods, spaces
            ):
                where = "" if network == ANYWHERE else f" {'-s' if inbound else '-d'} {network}"
                for ports in port_matches(rule.get("ports"), pod if inbound else peer):
                    allowed[where + ports] = None
    return list(allowed)


def rules(policies: Iterable[Object], pods: Iterable[Object], namespaces: Iterable[Object], node: str) -> str:
    """Our chains, as input of `iptables-restore --noflush`. Only pods on `node` are isolated here."""
    policies, pods = list(policies), list(pods)
    spaces = {space["metadata"]["name"]: labels_of(space) for space in namespaces}
    chains, jumps, body = [ROOT], [], []
    for pod in sorted(pods, key=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"])):
        ip = address(pod)
        if not ip or pod["spec"].get("nodeName") != node:
            continue
        here = [p for p in policies if p["metadata"]["namespace"] == pod["metadata"]["namespace"]]
        here = [p for p in here if matches(p["spec"].get("podSelector") or {}, labels_of(pod))]
        for direction, own, other in (("Egress", "-s", "-d"), ("Ingress", "-d", "-s")):
            isolating = [p for p in here if direction in directions(p["spec"])]
            if not isolating:
                continue
            digest = hashlib.sha256(
                f"{pod['metadata']['namespace']}/{pod['metadata']['name']}".encode()
            ).hexdigest()[:12]
            chain = f"RAYSTEAD-{direction[0]}-{digest}"
            chains.append(chain)
            jumps.append(f"-A {ROOT} {own} {ip} -j {chain}")
            body.append(f"-A {chain} {other} {ip} -j RETURN")
            body += [
                f"-A {chain}{match} -j RETURN" for match in pod_rules(pod, direction, isolating, pods, spaces)
            ]
            body.append(f"-A {chain} -j DROP")
    established = f"-A {ROOT} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    return "\n".join(
        ["*mangle", *(f":{c} - [0:0]" for c in chains), established, *jumps, *body, "COMMIT", ""]
    )


def chains_in(text: str) -> set[str]:
    return {line[1:].split()[0] for line in text.splitlines() if line.startswith(":")}


def install(text: str, before: str) -> None:
    """Makes the kernel's rules `text`, all at once, and drops the chains that only `before` had."""
    stale = sorted(chains_in(before) - chains_in(text))
    text = text.replace("COMMIT\n", "".join(f"-F {c}\n-X {c}\n" for c in stale) + "COMMIT\n")
    text = text.replace("*mangle\n", "*mangle\n" + "".join(f":{c} - [0:0]\n" for c in stale))
    subprocess.run(["iptables-restore", "--noflush", "--wait"], input=text, text=True, check=True)
    for hook in HOOKS:
        jump = [hook, "-j", ROOT]
        if subprocess.run(
            ["iptables", "--wait", "-t", "mangle", "-C", *jump], capture_output=True, check=False
        ).returncode:
            subprocess.run(["iptables", "--wait", "-t", "mangle", "-I", *jump], check=True)


def main(pki: str, server: str, node: str) -> None:
    changed = threading.Event()
    api = Api(pki, server)
    paths = ("/apis/networking.k8s.io/v1/networkpolicies", "/api/v1/pods", "/api/v1/namespaces")
    mirrors = [Mirror(api, path, changed.set) for path in paths]
    for mirror in mirrors:
        mirror.listed.wait()
    current = ""
    while True:
        changed.clear()
        wanted = rules(*(mirror.objects.values() for mirror in mirrors), node)
        if wanted != current:
            install(wanted, current)
            current = wanted
        changed.wait()
        time.sleep(0.05)  # events come in showers


if __name__ == "__main__":
    main(*sys.argv[1:])
