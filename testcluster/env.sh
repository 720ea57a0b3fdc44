# Settings shared by the scripts of this folder. Sourced, never run.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/versions.env"
K8S=${RAYSTEAD_TESTCLUSTER_K8S:-$K8S}         # an older control plane, for skew tests
CACHE=${RAYSTEAD_TESTCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/raystead-testcluster}
NAME=${RAYSTEAD_TESTCLUSTER_NAME:-raystead}   # the folder of this cluster's state; several clusters may run
CGROUP=raystead-testcluster-$NAME
IMG=$CACHE/images RUN=$CACHE/run/$NAME
PKI=$RUN/pki NETNS=$RUN/netns      # not under /run/netns: `ip netns add` would leave a mount there that was not before
NODE_IP=10.77.0.1 DNS_IP=10.96.0.10

binary() {  # binary NAME -> its path in the cache, which holds its version: nothing is ever rebuilt in place
  local v
  case $1 in
    kube-apiserver|kube-controller-manager|kube-scheduler|kubectl|kubelet|kube-proxy|agnhost) v=$K8S ;;
    etcd) v=$ETCD ;; coredns) v=$COREDNS ;; kwok) v=$KWOK ;; cyclonus) v=$CYCLONUS ;;
    containerd|containerd-shim-runc-v2|ctr) v=$CONTAINERD ;;
    *) echo "no such binary: $1" >&2; return 1 ;;
  esac
  echo "$CACHE/bin/$1-$v/$1"
}
inside() { nsenter --net="$NETNS" "$@"; }     # not `ip netns exec`: that one remounts /sys and hides the cgroups
ctr() { inside "$(binary ctr)" -a "$RUN/containerd.sock" -n k8s.io "$@"; }
kubectl() { inside "$(binary kubectl)" --kubeconfig "$PKI/admin.conf" "$@"; }
say() { printf '%(%H:%M:%S)T testcluster: %s\n' -1 "$*" >&2; }
