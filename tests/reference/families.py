"""A tiny tokenizer of every family, trained in code."""

from functools import cache

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "the film is a quiet little miracle of nerve and warmth",
    "The plot lurches from one tired joke to the next, and nobody laughs.",
    "naïve café déjà vu — “quoted” … 3,14 % don't won't",
    "日本語のテキスト 映画は 素晴らしい 한국어 영화",
    "emoji 👍🏽 👩‍👩‍👧 ﬁne ﬂower \uff21\uff42\uff43 ½ ²",
]
SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}


def _wrap(tokenizer, template=True):
    special = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    if template:
        pair = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=special
        )
        before = tokenizer.post_processor
        tokenizer.post_processor = pair if before is None else processors.Sequence([before, pair])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def _wordpiece(lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=list(SPECIAL.values()), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _wrap(tokenizer)


def _byte_level(prefix, trim):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
    return _wrap(tokenizer)


def _roberta():
    tokenizer = _byte_level(True, True).backend_tokenizer
    sep, cls = (("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")))
    tokenizer.post_processor = processors.RobertaProcessing(sep, cls, trim_offsets=True, add_prefix_space=True)
    return _wrap(tokenizer, template=False)


def _unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip(left=False)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=list(SPECIAL.values()), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _wrap(tokenizer)


def _byte_fallback():
    letters = sorted({c for text in CORPUS[:2] for c in text if c != " "} | {"▁"})
    pieces = [*SPECIAL.values(), *(f"<0x{i:02X}>" for i in range(256)), *letters, "th", "the", "▁the", "il", "▁f"]
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("i", "l"), ("▁", "f")]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return _wrap(tokenizer)


BUILD = {
    "wordpiece": lambda: _wordpiece(lowercase=True),
    "wordpiece-cased": lambda: _wordpiece(lowercase=False),
    "byte-level": lambda: _byte_level(prefix=False, trim=True),
    "byte-level-prefix": lambda: _byte_level(prefix=True, trim=True),
    "byte-level-untrimmed": lambda: _byte_level(prefix=True, trim=False),
    "roberta": _roberta,
    "unigram": _unigram,
    "byte-fallback": _byte_fallback,
}


@cache
def tokenizer(family):
    return BUILD[family]()
