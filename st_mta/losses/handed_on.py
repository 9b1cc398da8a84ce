"""Factories that hand some of their keyword parameters on to what they make their loss from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, TypeVar, get_type_hints

Factory = TypeVar("Factory", bound=Callable[..., Any])


def handing_on(part: Callable[..., Any], names: Collection[str]) -> Callable[[Factory], Factory]:
    """Puts keyword parameters of a part in the place of a factory's ``**options``, with their defaults and types.

    So whoever reads the factory's signature finds what it takes, and what stands in neither is refused.

    Args:
        part: A class or function.
        names: Those of its parameters that the factory hands on.

    Raises:
        KeyError: If the part has no such parameter.
    """
    of_part, types = inspect.signature(part).parameters, _types(part)

    def widened(make: Factory) -> Factory:
        own = inspect.signature(make)
        explicit = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
        signature = own.replace(parameters=[*explicit, *(of_part[name] for name in names)])
        inner = inspect.unwrap(make)

        @wraps(make)
        def made(*arguments: Any, **options: Any) -> Any:
            signature.bind(*arguments, **options)
            return inner(*arguments, **options)

        made.__signature__ = signature  # type: ignore[attr-defined]
        made.__annotations__ = {**_types(make), **{name: types[name] for name in names}}
        return made  # type: ignore[return-value]

    return widened


def _types(part: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(part.__init__ if isinstance(part, type) else part)  # type: ignore[misc]
