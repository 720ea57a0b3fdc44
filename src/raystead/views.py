"""What `raystead.Cluster`'s methods answer with: frozen values."""

from raystead.doctor.model import Check
from raystead.explain.model import Evidence, Finding
from raystead.kube.execs import Result
from raystead.live.raycron import Tick
from raystead.live.rayjob import JobState
from raystead.ops.connect import Connection
from raystead.ops.doctor import Examined
from raystead.ops.down import Downed
from raystead.ops.explain import Explanation
from raystead.ops.specs import Rendered
from raystead.ops.survival import FaultOutcome
from raystead.plan.groupview import GroupView, NodeView
from raystead.plan.headloss import HeadLoss
from raystead.plan.listing import ListRow
from raystead.plan.model import Action, Change, FieldChange, Plan
from raystead.plan.observed import ClusterView
from raystead.rayapi.jobs import Job
from raystead.spec.model import RayCluster

__all__ = [
    "Action",
    "Change",
    "Check",
    "ClusterView",
    "Connection",
    "Downed",
    "Evidence",
    "Examined",
    "Explanation",
    "FaultOutcome",
    "FieldChange",
    "Finding",
    "GroupView",
    "HeadLoss",
    "Job",
    "JobState",
    "ListRow",
    "NodeView",
    "Plan",
    "RayCluster",
    "Rendered",
    "Result",
    "Tick",
]
