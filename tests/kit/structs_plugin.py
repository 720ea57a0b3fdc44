"""A plugin of mypy: `dataclasses.replace`, `asdict`, `astuple` and `fields` do not take a msgspec Struct.

Both are classes with typed fields, and mypy takes a Struct for a dataclass, for its stub is a dataclass transform; at run
time the call raises TypeError. `msgspec.structs` has functions of the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mypy.plugin import FunctionContext, Plugin
from mypy.types import CallableType, Instance, Type, TypeType, TypeVarType, UnionType, get_proper_type

REFUSING = {f"dataclasses.{name}" for name in ("asdict", "astuple", "fields", "replace")}


def classes(found: Type) -> Iterator[Instance]:
    """Every class that a value (or a class itself) may be of."""
    kind = get_proper_type(found)
    if isinstance(kind, Instance):
        yield kind
    elif isinstance(kind, UnionType):
        for item in kind.items:
            yield from classes(item)
    elif isinstance(kind, TypeType):
        yield from classes(kind.item)
    elif isinstance(kind, TypeVarType):
        yield from classes(kind.upper_bound)
    elif isinstance(kind, CallableType) and kind.is_type_obj():
        yield from classes(kind.ret_type)


def refuse_structs(context: FunctionContext) -> Type:
    for given in context.arg_types[0] if context.arg_types else []:
        for kind in classes(given):
            if any(base.fullname.startswith("msgspec.") and base.name == "Struct" for base in kind.type.mro):
                context.api.fail(
                    f"{kind.type.name} is a msgspec Struct, not a dataclass: use msgspec.structs",
                    context.context,
                )
    return context.default_return_type


class StructsPlugin(Plugin):
    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        return refuse_structs if fullname in REFUSING else None


def plugin(version: str) -> type[StructsPlugin]:
    """What mypy asks for."""
    return StructsPlugin
