"""Packages that come with an extra of ours, and the one line about one that is missing."""

DISTRIBUTION = "unirex-rationales"
"""What `pip install` calls this package; its import is `unirex` (docs/installation.md says why)."""

_BROUGHT_BY = {
    **dict.fromkeys(
        ("accelerate", "datasets", "huggingface_hub", "safetensors", "tokenizers", "torch", "tqdm", "transformers"),
        "train",
    ),
    **dict.fromkeys(("jinja2", "matplotlib"), "report"),
    "ray": "ray",
}


def install(extra: str) -> str:
    """The command that installs an extra.

    >>> install("train")
    "pip install 'unirex-rationales[train]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def missing(error: ImportError) -> ValueError | None:
    """The error in our words where the package that could not be found comes with an extra; else None.

    >>> str(missing(ModuleNotFoundError("No module named 'torch'", name="torch.nn")))
    "the package torch is not installed, expected it: pip install 'unirex-rationales[train]'"
    """
    package = (error.name or "").partition(".")[0]
    extra = _BROUGHT_BY.get(package)
    if extra is None or not isinstance(error, ModuleNotFoundError):
        return None
    return ValueError(f"the package {package} is not installed, expected it: {install(extra)}")
