"""Settings as YAML, in the order in which they are given."""

from collections.abc import Mapping
from typing import Any

import yaml

# The one in C where PyYAML has it: a run writes its settings with every model that it saves.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def yaml_text(content: Mapping[str, Any]) -> str:
    """The content as YAML that a safe loader reads back.

    >>> print(yaml_text({"seed": 0, "data": {"labels": ["no", "naïve"]}}), end="")
    seed: 0
    data:
      labels:
      - 'no'
      - naïve
    """
    return str(yaml.dump(dict(content), Dumper=_DUMPER, sort_keys=False, allow_unicode=True))
