#!/usr/bin/env bash
# Builds a Kubernetes from the Go module proxy, each binary once per version.  build.sh [NAME...]   (default: all)
# Without -trimpath: with it, Go's cache takes the same package for another one in each module, and compiles it again.
source "$(dirname "$0")/env.sh"
ALL="kube-apiserver kube-controller-manager kube-scheduler kubectl etcd kubelet kube-proxy containerd containerd-shim-runc-v2 ctr coredns kwok"

wrapper() {  # k8s.io/kubernetes cannot be `go install`ed because of its replace lines: a module that repeats them with releases
  local dir=$CACHE/src/kubernetes-$K8S staging m c
  mkdir -p "$dir"; cd "$dir"
  if [ ! -f ready ]; then
    staging=$(go mod download -json "k8s.io/kubernetes@v$K8S" | python3 -c 'import json,re,sys
directory = json.load(sys.stdin)["Dir"]
print("\n".join(sorted(set(re.findall(r"^\s+(k8s\.io/[\w-]+) => \./staging", open(directory + "/go.mod").read(), re.M)))))')
    { printf 'module example.test/kubernetes\ngo 1.26\nrequire k8s.io/kubernetes v%s\nreplace (\n' "$K8S"
      for m in $staging; do echo "  $m => $m v0.${K8S#1.}"; done; printf ')\ntool (\n'
      for c in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do echo "  k8s.io/kubernetes/cmd/$c"; done
      echo ")"; } > go.mod
    go mod tidy -e >/dev/null 2>&1   # -e: the modules' own tests name packages that were never released
    touch ready
  fi
}
kubernetes() {
  wrapper
  local v=k8s.io/component-base/version
  go build -o "$2" -ldflags "-s -w -X $v.gitVersion=v$K8S -X $v.gitMajor=1 -X $v.gitMinor=$(cut -d. -f2 <<<"$K8S")" "k8s.io/kubernetes/cmd/$1"
}
agnhost() {  # Kubernetes' own test server; it needs modules that the wrapper's go.mod has not
  wrapper; cp go.mod agnhost.mod; cp go.sum agnhost.sum
  CGO_ENABLED=0 go build -mod=mod -modfile=agnhost.mod -o "$1" -ldflags "-s -w" k8s.io/kubernetes/test/images/agnhost
}
module() {  # module OUT MODULE VERSION PACKAGE [TAGS]
  local dir; dir=$CACHE/src/$(basename "$1" .new)-$3
  mkdir -p "$dir"; cd "$dir"; [ -f go.mod ] || go mod init example.test/tool 2>/dev/null
  go get "$2@v$3" >/dev/null 2>&1; go get -tool "$4" >/dev/null 2>&1
  go build -tags "${5:-}" -ldflags "-s -w" -o "$1" "$4"
}
as_kubernetes() {  # as_kubernetes OUT MODULE VERSION PACKAGE: with Kubernetes' versions of all that it shares with it, so
  # that nothing is compiled twice; PACKAGE is in MODULE, or a file of this folder
  local out=$1 own=$2 package=$4 dir versions
  dir=$CACHE/src/$(basename "$1" .new)-$3-as-$K8S
  wrapper; versions=$(go list -m -f '{{if not .Main}}{{.Path}} {{with .Replace}}{{.Version}}{{else}}{{.Version}}{{end}}{{end}}' all)
  mkdir -p "$dir"; cd "$dir"
  { printf 'module example.test/tool\ngo 1.26\nrequire %s v%s\nreplace (\n' "$own" "$3"
    awk -v own="$own" 'NF == 2 && $1 != own {print "  " $1 " => " $1 " " $2}' <<<"$versions"; echo ")"; } > go.mod
  if [ -f "$HERE/$package" ]; then cp "$HERE/$package" main.go; package=./main.go; fi
  go build -mod=mod -ldflags "-s -w" -o "$out" "$package"
}
stages() {  # kwok alone does nothing: its own module holds what nodes and pods are to go through
  local source f; source=$(go mod download -json "sigs.k8s.io/kwok@v$KWOK" | python3 -c 'import json,sys; print(json.load(sys.stdin)["Dir"])')/kustomize/stage
  for f in "$source"/node/fast/node-initialize.yaml "$source"/node/heartbeat-with-lease/node-*.yaml "$source"/pod/fast/pod-*.yaml; do
    cat "$f"; printf '\n---\n'; done >"$1.new"; mv "$1.new" "$1"
}
needs_go() { command -v go >/dev/null || { echo "testcluster: needs Go (1.26 or newer) to build $1" >&2; exit 3; }; }
for name in ${*:-$ALL}; do
  if [ "$name" = kwok ] && ! [ -f "$(dirname "$(binary kwok)")/stages.yaml" ]; then mkdir -p "$(dirname "$(binary kwok)")"; stages "$(dirname "$(binary kwok)")/stages.yaml"; fi
  out=$(binary "$name"); [ -x "$out" ] && continue
  needs_go "$name"
  start=$SECONDS; mkdir -p "$(dirname "$out")"; c=github.com/containerd/containerd/v2
  case $name in
    kube*) kubernetes "$name" "$out.new" ;;
    etcd) module "$out.new" go.etcd.io/etcd/server/v3 "$ETCD" go.etcd.io/etcd/server/v3 ;;
    coredns) as_kubernetes "$out.new" github.com/coredns/coredns "$COREDNS" coredns.go ;;
    cyclonus) module "$out.new" github.com/mattfenwick/cyclonus "$CYCLONUS" github.com/mattfenwick/cyclonus/cmd/cyclonus ;;
    agnhost) agnhost "$out.new" ;;
    kwok) module "$out.new" sigs.k8s.io/kwok "$KWOK" sigs.k8s.io/kwok/cmd/kwok ;;
    *) module "$out.new" $c "$CONTAINERD" "$c/cmd/$name" no_btrfs,no_zfs ;;
  esac
  mv "$out.new" "$out"; say "built $name in $((SECONDS - start)) s"
done
