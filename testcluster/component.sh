#!/usr/bin/env bash
# component.sh start|stop|running NAME: one process of the cluster, by the pid it was started with.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

arguments() {  # the command line of a component, one word a line
  local system=(--leader-elect=false --bind-address=127.0.0.1 --kube-api-qps=300 --kube-api-burst=600)
  case $1 in
    etcd) printf '%s\n' "$(binary etcd)" --data-dir "$RUN/etcd" --listen-client-urls http://127.0.0.1:2379 \
      --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync ;;
    apiserver) printf '%s\n' "$(binary kube-apiserver)" --etcd-servers=http://127.0.0.1:2379 --bind-address=$NODE_IP --advertise-address=$NODE_IP \
      --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" \
      --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
      --service-account-issuer=https://kubernetes.default.svc --authorization-mode=Node,RBAC --service-cluster-ip-range=10.96.0.0/16 \
      --allow-privileged=true --kubelet-client-certificate="$PKI/admin.crt" --kubelet-client-key="$PKI/admin.key" \
      --kubelet-preferred-address-types=InternalIP --endpoint-reconciler-type=lease \
      --enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement,PodSecurity \
      --audit-policy-file="$HERE/audit.yaml" --audit-log-path="$RUN/log/audit.json" --audit-log-mode=blocking ;;
    controller-manager) printf '%s\n' "$(binary kube-controller-manager)" --kubeconfig="$PKI/controller-manager.conf" "${system[@]}" \
      --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" --use-service-account-credentials=true ;;
    scheduler) printf '%s\n' "$(binary kube-scheduler)" --kubeconfig="$PKI/scheduler.conf" "${system[@]}" \
      --authentication-kubeconfig="$PKI/scheduler.conf" --authorization-kubeconfig="$PKI/scheduler.conf" ;;
    containerd) printf '%s\n' "$(binary containerd)" -c "$RUN/containerd.toml" ;;
    kubelet) printf '%s\n' "$(binary kubelet)" --config="$RUN/kubelet.yaml" --kubeconfig="$PKI/kubelet.conf" --hostname-override=node1 \
      --node-ip=$NODE_IP --root-dir="$RUN/kubelet" --cert-dir="$PKI" ;;
    kube-proxy) printf '%s\n' "$(binary kube-proxy)" --kubeconfig="$PKI/admin.conf" --proxy-mode=iptables --cluster-cidr=10.244.0.0/16 \
      --hostname-override=node1 --bind-address=$NODE_IP --conntrack-max-per-core=0 ;;
    policies) printf '%s\n' python3 -u "$HERE/policies.py" "$PKI" "https://$NODE_IP:6443" node1 ;;
    volumes) printf '%s\n' python3 -u "$HERE/volumes.py" "$PKI" "https://$NODE_IP:6443" "$RUN/volumes" ;;
    kwok) printf '%s\n' "$(binary kwok)" --kubeconfig="$PKI/admin.conf" --manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake \
      --node-lease-duration-seconds=40 --config "$(dirname "$(binary kwok)")/stages.yaml" ;;
    *) echo "no such component: $1" >&2; return 1 ;;
  esac
}
join_system() {  # into the cgroup of the cluster's own processes, beside that of its pods (up.sh: cgroups)
  local g
  for g in /sys/fs/cgroup/cpu "/sys/fs/cgroup"; do
    if [ -e "$g/$CGROUP/system/cgroup.procs" ]; then echo "$BASHPID" >"$g/$CGROUP/system/cgroup.procs"; return; fi
  done
}
running() { [ -f "$RUN/$1.pid" ] && kill -0 "$(cat "$RUN/$1.pid")" 2>/dev/null; }
start() {
  if running "$1"; then return; fi
  local words; mapfile -t words < <(arguments "$1")
  [ ${#words[@]} -gt 0 ] || return 1
  # The shim must be on the PATH of containerd and nowhere else.
  (join_system; PATH="$(dirname "$(binary containerd-shim-runc-v2)"):$PATH" exec setsid nsenter --net="$NETNS" "${words[@]}") >>"$RUN/log/$1.log" 2>&1 </dev/null &
  echo $! >"$RUN/$1.pid"
}
stop() {  # ends it and waits for it, 10 s at most, then without asking
  local pid
  [ -f "$RUN/$1.pid" ] || return 0
  pid=$(cat "$RUN/$1.pid"); kill "$pid" 2>/dev/null || true
  for _ in $(seq 100); do [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || break; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true; rm -f "$RUN/$1.pid"
}
if [ "${BASH_SOURCE[0]}" = "$0" ]; then "$1" "$2"; fi
