#!/usr/bin/env bash
# Makes the container images that no registry here can give: pause, redis, coredns, and Ray on Debian. Kept in the cache.
source "$(dirname "$0")/env.sh"
mkdir -p "$IMG"; cd "$IMG"
image_file() {
  case $1 in pause) echo "pause-$PAUSE.tar" ;; redis) echo redis.tar ;; coredns) echo "coredns-$COREDNS.tar" ;; ray) echo "ray-$RAY.tar" ;; agnhost) echo "agnhost-$K8S.tar" ;; esac
}
with_libs() {  # with_libs ROOT PROGRAM...: the program and the shared libraries it loads
  local root=$1 p f; shift
  for p in "$@"; do for f in "$p" $(ldd "$p" 2>/dev/null | grep -o '/[^ ]*'); do mkdir -p "$root$(dirname "$f")"; cp -L "$f" "$root$f"; done; done
}
pack() { python3 "$HERE/mkimage.py" "$IMG/$1.new" "$2" "$3" "$4"; mv "$IMG/$1.new" "$IMG/$1"; say "packed $1"; }

pause() {
  mkdir -p pause; gcc -static -O2 -o pause/pause "$HERE/pause.c"
  pack "$1" "registry.k8s.io/pause:$PAUSE" pause '{"Entrypoint":["/pause"],"User":"65535:65535"}'
}
redis() {  # The official image starts as root and its entrypoint steps down to uid 999; under runAsNonRoot people set 999 or any uid.
  local tags=""; for t in $REDIS_TAGS; do tags="$tags,docker.io/library/redis:$t"; done
  rm -rf redis; mkdir -p redis/data redis/tmp redis/etc redis/usr/local/bin redis/usr/local/etc
  with_libs redis /usr/bin/redis-server /usr/bin/redis-cli /bin/{sh,bash,cat,ls,sleep,mkdir,cp,rm,id,chown,touch} /usr/bin/{timeout,setpriv,env,find}
  printf 'root:x:0:0:root:/root:/bin/sh\nredis:x:999:999::/data:/bin/sh\n' > redis/etc/passwd
  printf 'root:x:0:\nredis:x:999:\n' > redis/etc/group
  install -m 755 "$HERE/redis-entrypoint.sh" redis/usr/local/bin/docker-entrypoint.sh
  chmod 1777 redis/tmp; chown 999:999 redis/data
  pack "$1" "${tags#,}" redis '{"Env":["PATH=/usr/local/bin:/usr/bin:/bin"],"WorkingDir":"/data","Entrypoint":["docker-entrypoint.sh"],"Cmd":["redis-server"],"Volumes":{"/data":{}},"ExposedPorts":{"6379/tcp":{}}}'
}
coredns() {
  rm -rf coredns; mkdir -p coredns; cp "$(binary coredns)" coredns/coredns; ldd coredns/coredns >/dev/null 2>&1 && with_libs coredns "$(binary coredns)"
  pack "$1" "docker.io/coredns/coredns:$COREDNS" coredns '{"Entrypoint":["/coredns"]}'
}
agnhost() {
  mkdir -p agnhost; cp "$(binary agnhost)" agnhost/agnhost
  pack "$1" "registry.k8s.io/e2e-test-images/agnhost:$AGNHOST" agnhost '{"Entrypoint":["/agnhost"]}'
}
ray() {  # As rayproject/ray: user ray, uid 1000, group users (100); plus what an arbitrary uid in group 0 (OpenShift) needs to write.
  local root="ray-$RAY" i
  [ -f "$root/.debootstrapped" ] || { rm -rf --one-file-system "$root"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,procps,bash,curl,netcat-openbsd bookworm "$root" >/dev/null; touch "$root/.debootstrapped"; }
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; if [ -f /etc/pip.conf ]; then cp /etc/pip.conf "$root/etc/"; fi; cp /etc/resolv.conf "$root/etc/"
  chroot "$root" id ray >/dev/null 2>&1 || chroot "$root" useradd -m -u 1000 -g 100 ray
  chroot "$root" python3 -m venv /opt/ray
  mount --bind /proc "$root/proc"; trap 'umount "$IMG/'"$root"'/proc"' EXIT
  chroot "$root" env HOME=/root /opt/ray/bin/pip install --no-cache-dir -q "ray[default,serve]==$RAY"
  umount "$root/proc"; trap - EXIT
  rm -rf "$root/etc/pip.conf" "$root/etc/resolv.conf" "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root/root/.cache"
  ln -sf python3 "$root/opt/ray/bin/python"
  chgrp -R 0 "$root/home/ray"; chmod -R g=u "$root/home/ray"
  pack "$1" "docker.io/rayproject/ray:$RAY,docker.io/rayproject/ray:$RAY-py311" "$root" '{"Env":["PATH=/opt/ray/bin:/usr/local/bin:/usr/bin:/bin","HOME=/home/ray","LANG=C.UTF-8"],"User":"1000","WorkingDir":"/home/ray","Cmd":["/bin/bash"]}'
}
for name in ${*:-pause redis ray coredns}; do
  file=$(image_file "$name"); [ -f "$file" ] || { start=$SECONDS; "$name" "$file"; say "image $name in $((SECONDS - start)) s"; }
done
