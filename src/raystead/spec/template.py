"""What we read of Kubernetes' own objects inside a RayCluster: the shape, so that mistakes have a place.

The values stay as they were given: a validated part is the very mapping of the file, all it holds included.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import Meta, Struct

from raystead.base.quantities import parse
from raystead.spec.problems import given

__all__ = ["Json", "KeptPart", "Quantity", "StringMap", "converted"]

Json = dict[str, Any]
T = TypeVar("T")
Port = Annotated[int, Meta(ge=1, le=65535)]


class KeptPart(metaclass=ABCMeta):
    """A part that is checked against `shape` and stays the mapping that was given; null is an empty one."""

    shape: ClassVar[Any]


def _kept(name: str, shape: Any, *forms: type) -> Any:
    """A type for msgspec whose values are of another one, that of JSON, as `forms` say."""
    made = ABCMeta(name, (KeptPart,), {"shape": shape})
    for form in forms or (dict,):
        made.register(form)
    return made


if TYPE_CHECKING:
    Quantity = str | int | float
    StringMap = dict[str, str]
else:
    Quantity = _kept("Quantity", str | int | float, str, int, float)
    StringMap = _kept("StringMap", dict[str, str])


def converted(kind: type[T], value: Any) -> T:
    """`value` as a `kind`, nothing coerced.

    Raises:
        msgspec.ValidationError: it is none; the message names the first fault only.
    """
    return msgspec.convert(value, kind, dec_hook=_as_given)


def _as_given(kind: Any, value: Any) -> Any:
    if kind is Quantity:
        return _quantity(value)
    value = {} if value is None else value
    converted(kind.shape, value)
    return value


def _quantity(value: Any) -> str | int | float:
    """A quantity as it was written; a message is a sentence."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected a quantity such as 2, 0.5 or 4Gi, got {given(value)}")
    if parse(value) < 0:
        raise ValueError(f"{value} is negative")
    return value


class _Shape(Struct, rename="camel"):
    """A part of a Kubernetes object; what is not named here is allowed and not looked at."""


class KeyRef(_Shape):
    name: str
    key: str


class ValueFrom(_Shape):
    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None


class EnvVar(_Shape):
    name: str
    value: str | None = None
    value_from: ValueFrom | None = None


class ContainerPort(_Shape):
    container_port: Port
    name: str | None = None


class Named(_Shape):
    name: str


class VolumeMount(Named):
    mount_path: str


class Resources(_Shape):
    requests: dict[str, Quantity] | None = None
    limits: dict[str, Quantity] | None = None


class Capabilities(_Shape):
    add: list[str] | None = None
    drop: list[str] | None = None


class SecurityContext(_Shape):
    run_as_user: int | None = None
    capabilities: Capabilities | None = None


class ContainerSpec(_Shape):
    name: str | None = None
    image: str | None = None
    command: list[str] | None = None
    args: list[str] | None = None
    env: list[EnvVar] | None = None
    env_from: list[Json] | None = None
    ports: list[ContainerPort] | None = None
    resources: Resources | None = None
    volume_mounts: list[VolumeMount] | None = None
    security_context: SecurityContext | None = None
    liveness_probe: Json | None = None
    readiness_probe: Json | None = None


class PodSpec(_Shape):
    containers: list[ContainerSpec] | None = None
    init_containers: list[ContainerSpec] | None = None
    volumes: list[Named] | None = None
    image_pull_secrets: list[Json] | None = None
    tolerations: list[Json] | None = None
    node_selector: StringMap | None = None
    security_context: SecurityContext | None = None
    service_account_name: str | None = None
    restart_policy: str | None = None
    termination_grace_period_seconds: Annotated[int, Meta(ge=0)] | None = None


class ObjectMeta(_Shape):
    name: str | None = None
    labels: StringMap | None = None
    annotations: StringMap | None = None


class ServicePort(_Shape):
    port: Port
    name: str | None = None
    protocol: str | None = None


class ServiceSpec(_Shape):
    type: str | None = None
    ports: list[ServicePort] | None = None


class Service(_Shape):
    metadata: ObjectMeta | None = None
    spec: ServiceSpec | None = None


if TYPE_CHECKING:
    PodSpecJson = Json
    ObjectMetaJson = Json
    ServiceJson = Json
    ValueFromJson = Json
else:
    PodSpecJson = _kept("PodSpecJson", PodSpec)
    ObjectMetaJson = _kept("ObjectMetaJson", ObjectMeta)
    ServiceJson = _kept("ServiceJson", Service)
    ValueFromJson = _kept("ValueFromJson", ValueFrom)
