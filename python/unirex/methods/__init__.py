"""Methods: how a model is trained to explain itself, one file each.

`unirex.methods.method.Method` is what all of them keep to. A new method is one file: in a package of its own, with an
entry point in the group `unirex.methods`, or any that `--import` names (docs/howto/own-method.md); or here, with its
settings in `settings/` and a line in `FACTS`.
"""

from inspect import isabstract
from types import ModuleType
from typing import TYPE_CHECKING, Any

from unirex.methods.settings.a2r import A2rFacts
from unirex.methods.settings.contract import MethodFacts
from unirex.methods.settings.fresh import FreshFacts
from unirex.methods.settings.joint import JointFacts
from unirex.methods.settings.l2e import L2eFacts
from unirex.methods.settings.mcd import McdFacts
from unirex.methods.settings.n2r import N2rFacts
from unirex.methods.settings.rtp import RtpFacts
from unirex.methods.settings.sgt import SgtFacts
from unirex.plugins import Registry
from unirex.text import NOW

if TYPE_CHECKING:
    from unirex.methods.method import Method

FACTS: dict[str, type[MethodFacts]] = {
    "joint": JointFacts,
    "sgt": SgtFacts,
    "fresh": FreshFacts,
    "a2r": A2rFacts,
    "l2e": L2eFacts,
    "mcd": McdFacts,
    "rtp": RtpFacts,
    "n2r": N2rFacts,
}
"""What is known of the methods of this package without torch."""


def _is_method(found: object) -> bool:
    from unirex.methods.method import Method

    return isinstance(found, type) and issubclass(found, Method)


METHODS: "Registry[type[Method]]" = Registry(
    "method.name",
    "unirex.methods",
    {name: f"unirex.methods.{name}:{name.capitalize()}" for name in FACTS},
    _is_method,
    "a subclass of unirex.methods.method.Method",
)


def find_method(name: str) -> "type[Method]":
    """The method of a name, of this package or of another one that is installed.

    Raises:
        ValueError: one line: no such method, or the package that names it is broken, or lacks a part of one.
    """
    name = NOW.get(("method.name", name), name)
    method = METHODS.find(name)
    if name not in FACTS:
        _name_of(method)
    return method


def find_facts(name: str) -> type[MethodFacts]:
    """What is known of the method of a name; torch is imported only where another package brings it.

    Raises:
        ValueError: as `find_method`.

    >>> find_facts("fresh").extractors
    ('support',)
    """
    return FACTS.get(NOW.get(("method.name", name), name)) or find_method(name)


def add_method(method: "type[Method]") -> str:
    """The name under which a method of the user's own code is known from now on: the default of `config_class.name`.

    Another one that was added under this name before gives way.

    Raises:
        ValueError: it is no method, it has no name, or a method of this package or an installed one has it.
    """
    if not _is_method(method):
        raise ValueError(f"method is {method!r}, expected a subclass of unirex.methods.method.Method with all it needs")
    name = _name_of(method)
    METHODS.add(name, method)
    return name


def _name_of(method: "type[Method]") -> str:
    """What a method is called; refuses one that lacks a part."""
    lacking = sorted(getattr(method, "__abstractmethods__", ()))
    if lacking:
        raise ValueError(f"method {method.__name__} lacks {' and '.join(lacking)}, expected all that a Method needs")
    try:
        config: Any = method.config_class
        name: str = config().name
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"method {method.__name__}: expected config_class with a default for each setting ({error})"
        ) from None
    return name


def add_methods(module: ModuleType) -> None:
    """Adds the methods that a module, or a package with its modules, defines.

    Raises:
        ValueError: as `add_method`, or two of them have one name.
    """
    added: dict[str, Any] = {}
    methods = [found for found in vars(module).values() if _is_method(found)]
    own = [found for found in methods if f"{found.__module__}.".startswith(f"{module.__name__}.")]
    bases = [] if all(map(isabstract, own)) else [found for found in own if isabstract(found)]
    for found in own:
        if found not in bases:
            other = added.setdefault(name := add_method(found), found)
            if other is not found:
                raise ValueError(
                    f"{module.__name__}: {other.__name__} and {found.__name__} are both called {name!r}, expected "
                    "different names (a config_class with another default of `name`)"
                )
