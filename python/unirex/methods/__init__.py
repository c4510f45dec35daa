"""Methods: how a model is trained to explain itself, one file each.

`unirex.methods.method.Method` is what all of them keep to. A new method is one file: in a package of its own, with an
entry point in the group `unirex.methods` (docs/howto/own-method.md); or here, with its settings in `settings/` and a
line in `FACTS`.
"""

from typing import TYPE_CHECKING

from unirex.methods.settings.a2r import A2rFacts
from unirex.methods.settings.contract import MethodFacts
from unirex.methods.settings.fresh import FreshFacts
from unirex.methods.settings.joint import JointFacts
from unirex.methods.settings.l2e import L2eFacts
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
        ValueError: one line: no such method, or the package that names it is broken.
    """
    return METHODS.find(NOW.get(("method.name", name), name))


def find_facts(name: str) -> type[MethodFacts]:
    """What is known of the method of a name; torch is imported only where another package brings it.

    Raises:
        ValueError: as `find_method`.

    >>> find_facts("fresh").extractors
    ('support',)
    """
    return FACTS.get(NOW.get(("method.name", name), name)) or find_method(name)
