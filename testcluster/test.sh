#!/usr/bin/env bash
# test.sh MARKS [PYTEST-WORDS...]: the cluster tests, on RAYSTEAD_TEST_KUBECONFIG or on our own cluster, which it starts:
# three at a time, then those marked `alone` one after another. Where that cannot be it says so and passes; with CI=true
# it fails.
cd "$(dirname "$0")/.."
if [ -z "${RAYSTEAD_TEST_KUBECONFIG:-}" ]; then
  why=""
  if ! [ "$(id -u)" = 0 ]; then why="not root"
  elif ! unshare --net true 2>/dev/null; then why="this machine gives no network namespaces"
  elif ! unshare --net sh -c 'ip link add probe type bridge' 2>/dev/null && command -v ip >/dev/null; then why="this kernel has no bridge device"
  elif ! [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] && ! modprobe br_netfilter 2>/dev/null; then why="this kernel has no br_netfilter"
  elif ! testcluster/up.sh >/dev/null; then why="the cluster could not start (the reason is above)"; fi
  if [ -n "$why" ]; then
    echo "SKIPPED: every test marked cluster ($(grep -lr 'mark.cluster' tests/cluster | wc -l) files in tests/cluster), because: $why" >&2
    echo "Set RAYSTEAD_TEST_KUBECONFIG to an administrator's kubeconfig to run them on another cluster." >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
  fi
fi
marks=$1; shift
memory=$(mktemp -d)  # which tests failed; not the checkout's, which may remember an older run
trap 'rm -rf "$memory"' EXIT
tests() {  # pytest; a selection without a test is not a failure
  .venv/bin/python -m pytest -o "addopts=-ra --strict-markers" -o cache_dir="$memory" -o timeout=900 "$@" tests/cluster \
    || { local code=$?; [ $code = 5 ] || failed=$code; }
}
failed=0
tests -m "$marks and not alone" -n 3 --dist loadfile --no-loadscope-reorder --durations=20 "$@"
tests -m "$marks and alone" --durations=20 "$@"
# Three tests share two cores here. What failed beside others runs once more with nothing beside it: a defect fails again,
# and what passes now is printed as a flaky test to be mended. More than a handful is no accident and is not tried again.
if [ "$failed" = 1 ]; then
  mapfile -t again < <(.venv/bin/python -c 'import json, sys; print(*json.load(open(sys.argv[1])), sep="\n")' "$memory/v/cache/lastfailed")
  if [ "${#again[@]}" -le 6 ]; then
    printf '=== FLAKY unless it fails again: %s\n' "${again[@]}"
    failed=0
    tests -m "$marks" --last-failed --last-failed-no-failures=none "$@"
  fi
fi
exit "$failed"
