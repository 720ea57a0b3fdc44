"""raystead in Python: `Cluster`, the same use cases that the command line has.

    with raystead.Cluster.up(workers=4) as cluster:
        print(cluster.status().state)

Everything raises `raystead.errors.RaysteadError`s; nothing prints but the output of a job you submit.
"""

from raystead.library.cluster import Cluster, connect
from raystead.library.inputs import SpecFlags
from raystead.library.jobs import JobHandle, TickHandle

__all__ = ["Cluster", "JobHandle", "SpecFlags", "TickHandle", "connect"]
