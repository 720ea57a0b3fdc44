#!/usr/bin/env bash
# up.sh [control-plane]: starts the cluster from the cache, building what the cache lacks. Prints the administrator's kubeconfig.
source "$(dirname "$0")/component.sh"
what=${1:-node} begun=$SECONDS
PACKAGES="runc containernetworking-plugins redis-server debootstrap iproute2 iptables conntrack gcc libc6-dev openssl"

prerequisites() {
  local missing=() p
  [ "$(id -u)" = 0 ] || { echo "testcluster: needs root: it makes network namespaces, mounts and cgroups" >&2; exit 3; }
  command -v go >/dev/null || { echo "testcluster: needs Go (1.26 or newer) to build Kubernetes" >&2; exit 3; }
  for p in $PACKAGES; do dpkg -s "$p" >/dev/null 2>&1 || missing+=("$p"); done
  if [ ${#missing[@]} -gt 0 ]; then say "installing ${missing[*]}"
    apt-get update -qq; RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; fi
}
build() {
  if [ "$what" = control-plane ]; then "$HERE/build.sh" kube-apiserver kube-controller-manager kube-scheduler kubectl etcd; return; fi
  "$HERE/images.sh" pause redis ray & local images=$!
  "$HERE/build.sh"; wait $images; "$HERE/images.sh" coredns
}
network() {
  mkdir -p "$RUN/log" "$PKI"
  touch "$NETNS"; unshare --net="$NETNS" true; inside ip link set lo up
  inside ip link add node0 type bridge; inside ip addr add $NODE_IP/24 dev node0   # a bridge: this kernel has no dummy device
  inside ip link set node0 up; inside ip route add default via 10.77.0.254 dev node0
  inside sysctl -qw net.ipv4.ip_forward=1
  # Without this, packets between pods stay inside the bridge and no policy sees them.
  inside sysctl -qw net.bridge.bridge-nf-call-iptables=1 || [ "$what" = control-plane ]
}
keys() {
  cd "$PKI"
  openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 365 -subj /CN=ca 2>/dev/null
  local user
  cert() { openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
           openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 8)" -days 365 -out "$1.crt" -extfile <(printf '%s' "$3") 2>/dev/null; }
  cert apiserver /CN=kube-apiserver "subjectAltName=DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:10.96.0.1,IP:$NODE_IP"
  cert admin /O=system:masters/CN=admin extendedKeyUsage=clientAuth
  cert controller-manager /CN=system:kube-controller-manager extendedKeyUsage=clientAuth
  cert scheduler /CN=system:kube-scheduler extendedKeyUsage=clientAuth
  cert kubelet /O=system:nodes/CN=system:node:node1 "subjectAltName=DNS:node1,IP:$NODE_IP"
  openssl genrsa -out sa.key 2048 2>/dev/null; openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
  for user in admin controller-manager scheduler kubelet; do
    cat >$user.conf <<EOF
apiVersion: v1
kind: Config
clusters: [{name: raystead, cluster: {server: "https://$NODE_IP:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $user, user: {client-certificate-data: $(base64 -w0 $user.crt), client-key-data: $(base64 -w0 $user.key)}}]
contexts: [{name: raystead, context: {cluster: raystead, user: $user}}]
current-context: raystead
EOF
  done
}
control_plane() {
  local c
  start etcd; start apiserver
  for _ in $(seq 120); do kubectl get --raw /readyz >/dev/null 2>&1 && break; sleep 0.25; done
  kubectl get --raw /readyz >/dev/null || { tail -5 "$RUN/log/apiserver.log" >&2; return 1; }
  for c in controller-manager scheduler; do start $c; done
  kubectl apply -f "$HERE/manifests.yaml" >/dev/null
}
settings() { sed "s#@RUN@#$RUN#g; s#@PKI@#$PKI#g; s#@PAUSE@#$PAUSE#; s#@COREDNS@#$COREDNS#; s#@CGROUP@#$CGROUP#" "$HERE/$1"; }
await_containerd() { for _ in $(seq 80); do ctr version >/dev/null 2>&1 && return; sleep 0.1; done; tail -5 "$RUN/log/containerd.log" >&2; return 1; }
containerd_with_images() {
  # Unpacked once per set of images, then hard-linked: layers are never written to, and the databases are copied for real.
  local set kept i; set=$(cd "$IMG"; stat -c '%n %Y %s' "pause-$PAUSE.tar" redis.tar "coredns-$COREDNS.tar" "ray-$RAY.tar" | cat - <(echo "$CONTAINERD") | sha256sum | cut -c1-12)
  kept=$CACHE/unpacked-$set
  mkdir -p "$RUN/cni"; settings containerd.toml >"$RUN/containerd.toml"; settings cni.conflist >"$RUN/cni/10-raystead.conflist"
  if [ ! -d "$kept" ]; then
    start containerd; await_containerd
    for i in "pause-$PAUSE" redis "coredns-$COREDNS" "ray-$RAY"; do ctr images import "$IMG/$i.tar" >/dev/null 2>&1; done
    stop containerd; rm -rf "$CACHE"/unpacked-*; mv "$RUN/containerd" "$kept"
  fi
  cp -al "$kept" "$RUN/containerd"
  find "$RUN/containerd" -name '*.db' -not -path '*/fs/*' | while read -r i; do cp "$i" "$i.own"; mv "$i.own" "$i"; done
  start containerd; await_containerd
}
cgroups() {
  local h
  for h in /sys/fs/cgroup/*/; do mkdir -p "$h$CGROUP" 2>/dev/null || true; done
  if [ -e "/sys/fs/cgroup/cpuset/$CGROUP" ]; then   # a new cpuset is empty, and an empty one takes no process
    for h in cpus mems; do cat /sys/fs/cgroup/cpuset/cpuset.$h >"/sys/fs/cgroup/cpuset/$CGROUP/cpuset.$h"; done; fi
  # A cgroup weighs as much as one process beside it. So that a few busy tests do not starve all pods, the cluster weighs as
  # much as sixteen; in it, pods weigh twice what Kubernetes' own processes do, as on a usual node.
  if [ -e "/sys/fs/cgroup/cpu/$CGROUP/cpu.shares" ]; then
    echo 16384 >"/sys/fs/cgroup/cpu/$CGROUP/cpu.shares"; mkdir -p "/sys/fs/cgroup/cpu/$CGROUP/system"; fi
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/$CGROUP"; h=$CGROUP/cgroup.subtree_control
    if echo +cpu >/sys/fs/cgroup/cgroup.subtree_control && echo +cpu >"/sys/fs/cgroup/$h"; then
      echo 1600 >"/sys/fs/cgroup/$CGROUP/cpu.weight"; mkdir -p "/sys/fs/cgroup/$CGROUP/system"; fi 2>/dev/null
  fi
}
node() {
  echo "nameserver 10.77.0.254" >"$RUN/resolv.conf"; settings kubelet.yaml >"$RUN/kubelet.yaml"
  start kubelet; start kube-proxy; start policies; start volumes; start kwok
  settings coredns.yaml | kubectl apply -f - >/dev/null
  kubectl wait --for=create node/node1 --timeout=60s >/dev/null; kubectl wait --for=condition=Ready node/node1 --timeout=60s >/dev/null
  kubectl apply -f "$HERE/overcommit.yaml" >/dev/null   # with the node: an older control plane alone has no such policies
  kubectl patch node node1 --subresource=status -p '{"status":{"allocatable":{"cpu":"16"}}}' >/dev/null   # see overcommit.yaml
  kubectl -n kube-system rollout status deployment/coredns --timeout=120s >/dev/null
}
if mountpoint -q "$NETNS" && running apiserver; then say "already up"; echo "$PKI/admin.conf"; exit; fi
prerequisites; mkdir -p "$CACHE"; build
"$HERE/down.sh"   # what a crash may have left
start_of_bringup=$SECONDS; trap 'say "could not start; logs: $RUN/log"' ERR
network; keys; cgroups
if [ "$what" = node ]; then containerd_with_images & unpack=$!; control_plane; wait $unpack; node; else control_plane; fi
say "up in $((SECONDS - start_of_bringup)) s, $((start_of_bringup - begun)) s of building before"
echo "$PKI/admin.conf"
