"""The name that installs this package, and its extras: what a message says where one is missing."""

DISTRIBUTION = "unirex-rationales"  # `unirex` on the package index is somebody else's (docs/installation.md)


def install_command(extra: str) -> str:
    """The command that brings `extra`.

    >>> install_command("train")
    "pip install 'unirex-rationales[train]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"
