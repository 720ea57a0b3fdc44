"""What we read of Kubernetes' own objects inside a RayCluster: the shape, so that mistakes have a place.

The values stay as they were given: a validated part is the very mapping of the file, all it holds included.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    WrapValidator,
)
from pydantic.alias_generators import to_camel

from raystead.base.quantities import parse
from raystead.spec.problems import given

Json = dict[str, Any]


def _null_is_absent(value: Any) -> Any:
    return {} if value is None else value


def _quantity(value: Any) -> str | int | float:
    """A quantity as it was written; a message is a sentence."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected a quantity such as 2, 0.5 or 4Gi, got {given(value)}")
    if parse(value) < 0:
        raise ValueError(f"{value} is negative")
    return value


def _as_given(value: Any, check: Any) -> Any:
    check(value)
    return value


StringMap = Annotated[dict[StrictStr, StrictStr], BeforeValidator(_null_is_absent)]
Quantity = Annotated[
    str | int | float, PlainValidator(_quantity), WithJsonSchema({"type": ["string", "number"]})
]
Port = Annotated[StrictInt, Field(ge=1, le=65535)]


class _Shape(BaseModel):
    """A part of a Kubernetes object; what is not named here is allowed and not looked at."""

    model_config = ConfigDict(
        frozen=True, extra="allow", populate_by_name=True, alias_generator=to_camel, defer_build=True
    )


class KeyRef(_Shape):
    name: StrictStr
    key: StrictStr


class ValueFrom(_Shape):
    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None


class EnvVar(_Shape):
    name: StrictStr
    value: StrictStr | None = None
    value_from: ValueFrom | None = None


class ContainerPort(_Shape):
    container_port: Port
    name: StrictStr | None = None


class Named(_Shape):
    name: StrictStr


class VolumeMount(Named):
    mount_path: StrictStr


class Resources(_Shape):
    requests: dict[StrictStr, Quantity] | None = None
    limits: dict[StrictStr, Quantity] | None = None


class Capabilities(_Shape):
    add: list[StrictStr] | None = None
    drop: list[StrictStr] | None = None


class SecurityContext(_Shape):
    run_as_user: StrictInt | None = None
    capabilities: Capabilities | None = None


class ContainerSpec(_Shape):
    name: StrictStr | None = None
    image: StrictStr | None = None
    command: list[StrictStr] | None = None
    args: list[StrictStr] | None = None
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
    service_account_name: StrictStr | None = None
    restart_policy: StrictStr | None = None
    termination_grace_period_seconds: Annotated[StrictInt, Field(ge=0)] | None = None


class ObjectMeta(_Shape):
    name: StrictStr | None = None
    labels: StringMap | None = None
    annotations: StringMap | None = None


class ServicePort(_Shape):
    port: Port
    name: StrictStr | None = None
    protocol: StrictStr | None = None


class ServiceSpec(_Shape):
    type: StrictStr | None = None
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
    _KEPT = (WrapValidator(_as_given), PlainSerializer(copy.deepcopy, return_type=Json))
    PodSpecJson = Annotated[PodSpec, *_KEPT, BeforeValidator(_null_is_absent)]
    ObjectMetaJson = Annotated[ObjectMeta, *_KEPT, BeforeValidator(_null_is_absent)]
    ServiceJson = Annotated[Service, *_KEPT]
    ValueFromJson = Annotated[ValueFrom, *_KEPT]
