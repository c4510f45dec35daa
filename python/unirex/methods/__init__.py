"""Methods: how a model is trained to explain itself, one file each.

`unirex.methods.method.Method` is what all of them keep to. A new method is one file: here, with a line in `METHODS`, or
in a package of its own, with an entry point in the group `unirex.methods` (docs/howto/own-method.md).
"""

from unirex.methods.a2r import A2r
from unirex.methods.fresh import Fresh
from unirex.methods.joint import Joint
from unirex.methods.l2e import L2e
from unirex.methods.method import Method
from unirex.methods.sgt import Sgt
from unirex.plugins import Registry
from unirex.text import NOW


def _is_method(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Method)


METHODS: Registry[type[Method]] = Registry(
    "method.name",
    "unirex.methods",
    {"joint": Joint, "sgt": Sgt, "fresh": Fresh, "a2r": A2r, "l2e": L2e},
    _is_method,
    "a subclass of unirex.methods.method.Method",
)


def find_method(name: str) -> type[Method]:
    """The method of a name, of this package or of another one that is installed.

    Raises:
        ValueError: one line: no such method, or the package that names it is broken.
    """
    return METHODS.find(NOW.get(("method.name", name), name))
