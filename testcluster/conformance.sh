#!/usr/bin/env bash
# conformance.sh [CYCLONUS-WORDS...]: cyclonus judges the policy engine of the running cluster: it makes policies, connects
# every pod with every other one, and compares what passed with what Kubernetes' documentation promises.
source "$(dirname "$0")/env.sh"
mountpoint -q "$NETNS" || { echo "testcluster: not up: make cluster" >&2; exit 3; }
"$HERE/build.sh" cyclonus agnhost; "$HERE/images.sh" agnhost
ctr images import "$IMG/agnhost-$K8S.tar" >/dev/null
results=$RUN/log/cyclonus.xml
# SCTP is left out: this kernel has none. Our own engine takes up to a second to see a change. What a pod says to itself is not
# judged: cyclonus expects policies to close it, Kubernetes documents that they cannot.
KUBECONFIG="$PKI/admin.conf" inside "$(binary cyclonus)" generate --server-protocol TCP,UDP --perturbation-wait-seconds 2 \
  --job-timeout-seconds 1 --pod-creation-timeout-seconds 180 --cleanup-namespaces --ignore-loopback --junit-results-file "$results" "$@" >"$RUN/log/cyclonus.log" 2>&1 || {
  tail -20 "$RUN/log/cyclonus.log" >&2; exit 1; }
python3 - "$results" <<'END'
import sys
import xml.etree.ElementTree as xml

cases = list(xml.parse(sys.argv[1]).getroot().iter("testcase"))
failed = [case.get("name") for case in cases if case.find("failure") is not None]
print(f"cyclonus: {len(cases) - len(failed)} of {len(cases)} cases as documented")
print(*failed, sep="\n")
sys.exit(bool(failed) or not cases)
END
