"""Who we are and where: kubeconfig files as kubectl reads them, or the ServiceAccount of the pod we run in.

`load` chooses, `Access` is what came of it: an address, what proves who we are, TLS, and the way there. No
library does this with kubectl's rules (docs/adr/0011-access-of-our-own.md); kubectl itself is the judge of
ours, in tests/api/test_kubeconfigs.py.
"""

from raystead.kube.access.access import Access
from raystead.kube.access.loading import configured, load, unconfigured

__all__ = ["Access", "configured", "load", "unconfigured"]
