"""--allow-from and --to: one annotation, said again it changes nothing, nonsense is a problem."""

import pytest

from raystead.errors import SpecError
from raystead.spec.flags import Flags, build
from raystead.spec.model import read

KEY = "raystead.io/allow-from"


def test_peers_are_added_replaced_and_taken_away() -> None:
    one = build(Flags(allow_from=("namespace=mon,pods=app=prom",), allow_to="metrics"))
    assert one.annotations[KEY] == "namespace=mon,pods=app=prom to metrics"
    two = build(Flags(allow_from=("pods=app=web",)), one)
    assert two.annotations[KEY] == "namespace=mon,pods=app=prom to metrics; pods=app=web to dashboard"
    again = build(Flags(allow_from=("pods=app=web",), allow_to="client,dashboard"), two)
    assert again.annotations[KEY].endswith("; pods=app=web to client,dashboard")
    assert build(Flags(allow_from=("pods=app=web",), allow_to="client,dashboard"), again) == again
    assert KEY not in build(Flags(allow_from=("none",)), again).annotations


@pytest.mark.parametrize(
    "peer, to, said",
    [
        ("app=web", "dashboard", "is not namespace=NS"),
        ("namespace=", "dashboard", "is not namespace=NS"),
        ("namespace=a,namespace=b", "dashboard", "is not namespace=NS"),
        ("pods=app", "dashboard", "is not namespace=NS"),
        ("namespace=Mon!", "dashboard", "not a valid namespace"),
        ("pods=app=a b", "dashboard", "not a valid label"),
        ("namespace=a", "gcs", '"gcs" is neither one of dashboard, client, metrics, serve nor a port number'),
        ("namespace=a", "0", '"0" is neither one of'),
        ("namespace=a", "65536", '"65536" is neither one of'),
        ("namespace=a", "\u00b2", "is neither one of"),
        ((), "client", "only has an effect with --allow-from"),
    ],
)
def test_nonsense_is_a_problem(peer: str, to: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        build(Flags(allow_from=(peer,) if peer else (), allow_to=to))


def test_a_broken_annotation_in_a_file_is_a_problem() -> None:
    base = build(Flags(allow_from=("namespace=a",)))
    document = base.document()
    document["metadata"]["annotations"][KEY] = "namespace=a dashboard"
    with pytest.raises(SpecError, match="does not say to what"):
        build(Flags(workers=1), read(type(base), document))
