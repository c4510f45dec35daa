"""Data: from files to examples, and from examples to batches."""

from unirex.data.eraser import EraserConfig
from unirex.data.errors import DataError
from unirex.data.mapping import HubConfig
from unirex.data.source import DataConfig, label_names, load_split, load_splits
from unirex.data.splitting import Split, Splits, split_examples
from unirex.data.toy import ToyConfig

__all__ = [
    "DataConfig",
    "DataError",
    "EraserConfig",
    "HubConfig",
    "Split",
    "Splits",
    "ToyConfig",
    "label_names",
    "load_split",
    "load_splits",
    "split_examples",
]
