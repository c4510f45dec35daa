"""Data: from files to examples, and from examples to batches."""

from unirex.data.eraser import EraserConfig
from unirex.data.errors import DataError
from unirex.data.mapping import HubConfig
from unirex.data.source import DataConfig, Split, label_names, load_split
from unirex.data.toy import ToyConfig

__all__ = [
    "DataConfig",
    "DataError",
    "EraserConfig",
    "HubConfig",
    "Split",
    "ToyConfig",
    "label_names",
    "load_split",
]
