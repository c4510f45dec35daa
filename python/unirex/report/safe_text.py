"""Text from data made safe to show: control characters become visible, whoever wrote them."""

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_BUT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str, *, longest: int | None = None, lines: bool = False) -> str:
    r"""The text without characters that act: escape sequences cannot start, and text direction cannot be overridden.

    A control character of ASCII becomes its picture, any other and a half of a surrogate pair U+FFFD. Markup is not
    touched: that is the template's part.

    Args:
        text: from anywhere.
        longest: most characters; what is longer ends in an ellipsis.
        lines: keep line ends and tabs.

    >>> visible("\x1b[31mred\x07"), visible("a\u202eb"), visible("abcdef", longest=4)
    ('␛[31mred␇', 'a�b', 'abc…')
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    return (_CONTROL_BUT_LINES if lines else _CONTROL).sub(_picture, text)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
