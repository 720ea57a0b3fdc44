#!/usr/bin/env bash
# Ends what up.sh started, by pid, and removes its state. Binaries, images and unpacked layers stay in the cache.
source "$(dirname "$0")/component.sh"
[ -e "$RUN" ] || exit 0
for c in kwok policies volumes kube-proxy kubelet scheduler controller-manager; do stop $c; done
our_shims() {  # the shims of this cluster's containerd: they are its orphans, so no pid file knows them
  local p
  for p in /proc/[0-9]*; do
    if [ "$(readlink "$p/exe" 2>/dev/null)" = "$(binary containerd-shim-runc-v2)" ] && tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -qF "$RUN/containerd.sock"; then echo "${p#/proc/}"; fi
  done
}
if [ -S "$RUN/containerd.sock" ]; then
  for t in $(ctr tasks ls -q 2>/dev/null); do ctr tasks kill -s 9 -a "$t" >/dev/null 2>&1 || true; done
  for t in $(ctr tasks ls -q 2>/dev/null); do ctr tasks rm -f "$t" >/dev/null 2>&1 || true; done
fi
for c in apiserver etcd containerd; do stop $c; done
for p in $(our_shims); do kill -9 "$p" 2>/dev/null || true; done
cgroups() { find /sys/fs/cgroup -depth -type d \( -path "*/$CGROUP" -o -path "*/$CGROUP/*" \) 2>/dev/null; }
for g in $(cgroups); do for p in $(cat "$g/cgroup.procs" 2>/dev/null); do kill -9 "$p" 2>/dev/null || true; done; done
for _ in 1 2 3; do
  awk -v d="$RUN/" 'index($2,d)==1{print $2}' /proc/mounts | sort -r | while read -r m; do umount -l "$(printf '%b' "$m")" 2>/dev/null || true; done
done
for _ in $(seq 20); do for g in $(cgroups); do rmdir "$g" 2>/dev/null || true; done; [ -z "$(cgroups)" ] && break; sleep 0.1; done
rm -rf --one-file-system "$RUN"   # should a mount be left, what it holds is not ours to delete
