# Included by the Makefile above: the real Kubernetes of the tests. docs/testcluster.md explains it.
.PHONY: cluster cluster-down test-api test-cluster test-cluster-long

cluster:  ## start the test cluster (root; builds Kubernetes the first time)
	testcluster/up.sh

cluster-down:  ## end the test cluster and leave nothing behind
	testcluster/down.sh

test-api: environment  ## tests on an API server alone (no root; builds it the first time)
	testcluster/build.sh kube-apiserver kube-controller-manager kubectl etcd
	$(PY) -m pytest -m "api and not long" -n auto --maxprocesses=4 --dist worksteal --durations=20 tests/api

test-cluster: environment  ## tests on a real Kubernetes
	testcluster/test.sh "cluster and not long"

test-cluster-long: environment  ## the long ones: scale, skew, up and down
	testcluster/test.sh "cluster and long"
