"""Options that several commands share, in the order people need them."""

from __future__ import annotations

import functools
import os
import re
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from raystead.base import times
from raystead.errors import UsageError

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.places import Place

API, ORIGIN = "raystead.api", "raystead.origin"  # in click's meta: for whom an error has to be explained
F = TypeVar("F", bound=Callable[..., Any])


class _Span(click.ParamType[float]):
    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        seconds = times.in_seconds(value) if isinstance(value, str) else float(value)
        if seconds is None:
            self.fail(f'"{value}" is not a time span; write for example 90, 90s, 10m or 2h', param, ctx)
        return seconds


SPAN = _Span()


def _is_text(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A name goes to the API server as UTF-8; bytes of the command line that are none cannot."""
    if value is not None and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{param.get_error_hint(ctx)} is not UTF-8 text: {value!a}",
                remedy="type it again; names are lower-case letters, digits and -",
            ) from None
    return value


_SPEC = (
    click.option("-f", "--file", "file", metavar="FILE", help="KubeRay's YAML; - reads stdin."),
    click.option("--name", metavar="NAME", help="The cluster's name."),
    click.option("--workers", type=int, metavar="N", help="Number of workers."),
    click.option(
        "--autoscale/--no-autoscale",
        default=None,
        help="Ray's autoscaler decides how many workers there are.",
    ),
    click.option("--min", "least", type=int, metavar="N", help="With --autoscale: the fewest workers."),
    click.option(
        "--max", "most", type=int, metavar="N", help="With --autoscale: the most workers, default 10."
    ),
    click.option(
        "--idle", metavar="SPAN", help="End the cluster after so long without work; never: not at all."
    ),
    click.option(
        "--keep-data/--no-keep-data",
        "idle_keeps_data",
        default=None,
        help="With --idle: spec and state stay, the next up brings it back.",
    ),
    click.option("--worker-cpu", metavar="CPU", help="CPU of each worker, for example 2 or 500m."),
    click.option("--worker-memory", metavar="MEM", help="Memory of each worker, for example 4Gi."),
    click.option("--head-cpu", metavar="CPU", help="CPU of the head."),
    click.option("--head-memory", metavar="MEM", help="Memory of the head."),
    click.option("--gpus", type=int, metavar="N", help="GPUs of each worker (nvidia.com/gpu)."),
    click.option("--image", metavar="IMAGE", help="Ray's image, for head and workers."),
    click.option("--ray-version", metavar="VERSION", help="Ray's version; selects the official image."),
    click.option("--env", multiple=True, metavar="K=V", help="A variable for all Ray containers."),
    click.option("--env-from-secret", multiple=True, metavar="SECRET", help="All keys of a Secret."),
    click.option("--mount", multiple=True, metavar="CLAIM:/PATH", help="A volume claim in all Ray pods."),
    click.option("--pull-secret", multiple=True, metavar="SECRET", help="A Secret to pull images with."),
    click.option("--service-account", metavar="NAME", help="The pods' ServiceAccount."),
    click.option("--node-selector", multiple=True, metavar="K=V", help="Only nodes with this label."),
    click.option("--toleration", multiple=True, metavar="K[=V][:EFFECT]", help="Tolerate this taint."),
    click.option("--label", multiple=True, metavar="K=V", help="A label on all Ray pods."),
    click.option(
        "--storage",
        type=click.Choice(["redis", "rocksdb", "external", "none"]),
        help="Where the GCS keeps its state.",
    ),
    click.option("--redis-image", metavar="IMAGE", help="The image of the Redis we run."),
    click.option("--redis-memory", metavar="MEM", help="Its memory, default 1Gi; five eighths are for data."),
    click.option("--redis-cpu", metavar="CPU", help="Its CPU, for example 500m; default 100m, at most 1."),
    click.option("--redis-address", metavar="HOST:PORT", help="A Redis you have (rediss://… for TLS)."),
    click.option(
        "--redis-password-secret", metavar="SECRET[:KEY]", help="The Secret with its password; key: password."
    ),
    click.option("--whole-node", metavar="CPU,MEM", help="Size each pod from a node's allocatable."),
    click.option("--reserve", metavar="CPU,MEM", help="With --whole-node: left free; default 500m,1Gi."),
    click.option(
        "--allow-from",
        multiple=True,
        metavar="PEER",
        help="Let these pods in: namespace=NS, pods=KEY=VALUE or both, with a comma; none: nobody.",
    ),
    click.option(
        "--to",
        "allow_to",
        metavar="DOORS",
        help="With --allow-from: dashboard (default), client, metrics, serve, port numbers.",
    ),
)


def spec_options(function: F) -> F:
    """Adds -f and the flags that make or change a spec."""
    for option in reversed(_SPEC):
        function = option(function)
    return function


_KUBE = (
    click.option(
        "-n", "--namespace", metavar="NAME", callback=_is_text, help="The namespace; default: the context's."
    ),
    click.option("--context", metavar="NAME", callback=_is_text, help="A context of the kubeconfig."),
    click.option("--kubeconfig", metavar="FILE", help="Default: KUBECONFIG, then ~/.kube/config."),
    click.option("--as", "as_user", metavar="USER", callback=_is_text, help="Act as this user."),
    click.option(
        "--as-group",
        "as_groups",
        multiple=True,
        metavar="GROUP",
        help="With --as: in this group.",
    ),
    click.option("--as-uid", metavar="UID", help="With --as: with this uid."),
    click.option("-v", "--verbose", is_flag=True, help="Show every request to the API server."),
)


class Where(NamedTuple):
    """Which machine or API server a verb works on, as typed."""

    local: bool = False
    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()
    as_uid: str | None = None
    verbose: bool = False

    @property
    def here(self) -> bool:
        """The verb works on this machine: --local was given, or no kubeconfig leads to an API server.

        Who names kubeconfigs that are not there, and has no cluster here either, means those.
        """
        if self.local:
            return True
        if self.namespace or self.context or self.kubeconfig:
            return False
        from raystead.kube.access import configured
        from raystead.local import home

        return not configured() and (not os.environ.get("KUBECONFIG") or bool(home.names()))


places_typed: list[Where] = []  # by the verb that runs; click has no place for it that outlives an error


def typed_where() -> Where:
    """Where the verb works that runs."""
    return places_typed[-1] if places_typed else Where()


def kube_options(function: F) -> F:
    """Adds --local and kubectl's own options; the command gets them as one `where`."""

    @functools.wraps(function)
    def gathered(**given: Any) -> Any:
        where = Where(**{name: given.pop(name) for name in Where._fields})
        places_typed.append(where)
        return function(where=where, **given)

    wrapped: Any = gathered
    for option in reversed(_KUBE):
        wrapped = option(wrapped)
    local = click.option("--local", is_flag=True, help="On this machine, without Kubernetes.")
    gathering: F = local(wrapped)
    return gathering


def behind_the_verb(words: list[str]) -> list[str]:
    """What is typed before the verb, as kubectl takes it (`-n team status`), goes where our verbs take it."""
    before: list[str] = []
    rest = list(words)
    flags, valued = _kube_names()
    while rest:
        name, equals, _ = rest[0].partition("=")
        if rest[0] in flags or (name in valued and equals) or (rest[0][:2] in valued and rest[0][2:]):
            before.append(rest.pop(0))
        elif name in valued:
            before += [rest.pop(0) for _ in rest[:2]]
        else:
            break
    if not rest or rest[0].startswith("-"):
        return words
    verb = 2 if rest[0] == "job" and rest[1:] and not rest[1].startswith("-") else 1
    return [*rest[:verb], *before, *rest[verb:]]


def _kube_names() -> tuple[set[str], set[str]]:
    """How the options are spelt that say where: those that stand alone, and those with a value."""

    @kube_options
    def anything(where: Where) -> None: ...

    options: list[click.Option] = anything.__click_params__  # type: ignore[attr-defined]
    flags = {name for option in options if option.is_flag for name in option.opts}
    return flags, {name for option in options for name in option.opts} - flags


def place_options(function: F) -> F:
    """Adds what every verb on a running cluster takes: --name and where it is."""
    named = click.option(
        "--name",
        metavar="NAME",
        callback=_is_text,
        help="The cluster; not needed when there is only one.",
    )
    return named(kube_options(function))


def cluster_options(function: F) -> F:
    """As `place_options`, and the cluster's name may stand alone: `raystead status my-cluster`."""

    @functools.wraps(function)
    def gathered(cluster: str | None, name: str | None, **given: Any) -> Any:
        if cluster and name and cluster != name:
            raise UsageError(f'two names are given, "{cluster}" and "{name}"', remedy="give one of them")
        return function(name=cluster or name, **given)

    wrapped: Any = gathered
    taking: F = click.argument("cluster", required=False, metavar="[NAME]", callback=_is_text)(
        place_options(wrapped)
    )
    return taking


def door(where: Where) -> Api:
    """The API server that was meant; with -v each request is a line on stderr."""
    from raystead.kube.access import load
    from raystead.kube.api import Api

    access = load(
        kubeconfig=where.kubeconfig,
        context=where.context,
        namespace=where.namespace,
        as_user=where.as_user,
        as_groups=where.as_groups,
        as_uid=where.as_uid,
    )
    trace = (lambda line: click.echo(f"  {line}", err=True)) if where.verbose else None
    api = Api(access, trace=trace, notice=lambda text: click.echo(text, err=True))
    if context := click.get_current_context(silent=True):
        context.meta[API] = api
    return api


def place_of(where: Where, *, guess: bool = True) -> Place:
    """This machine or a namespace, whichever was meant.

    `guess`: without a way to an API server it is this machine, though nobody said so.
    """
    from raystead.ops.places import Namespace, ThisMachine

    here = where.here if guess else where.local
    return ThisMachine(guessed=not where.local) if here else Namespace(door(where))


quiet_option = click.option("-q", "--quiet", is_flag=True, help="Results only.")
output_option = click.option("-o", "output", type=click.Choice(["json"]), help="Machine-readable output.")


def read_file(file: str | None) -> tuple[str | None, str]:
    """The text of `file` and its name for messages; (None, "") without a file.

    Raises:
        UsageError: it cannot be read.
        SpecError: it is not text, or too large for a spec.
    """
    from raystead.spec.text import MAX_BYTES, decode

    if file is None:
        return None, ""
    name = "standard input" if file == "-" else file
    if file == "-" and sys.stdin is None:
        raise UsageError("standard input is closed", remedy="give a file: -f FILE")
    late = threading.Timer(5.0, click.echo, (f"still waiting for the text of {name}",), {"err": True})
    late.daemon = True
    late.start()
    try:
        with open(sys.stdin.fileno() if file == "-" else file, "rb", closefd=file != "-") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{name} cannot be read: {error.strerror}", remedy="give an existing YAML file"
        ) from None
    finally:
        late.cancel()
    text = decode(data, name)
    if context := click.get_current_context(silent=True):
        context.meta[ORIGIN] = functools.partial(_origin, text, name)
    return text, name


def _origin(text: str, name: str, namespace: str) -> str:
    """That the namespace comes from the file, with its line; empty where it does not."""
    found = re.search(rf"^[ \t]+namespace:[ \t]*[\"']?{re.escape(namespace)}[\"']?[ \t]*(#.*)?$", text, re.M)
    return f" ({name}:{text.count(chr(10), 0, found.start()) + 1} names it)" if found else ""
