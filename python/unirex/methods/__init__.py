"""Methods: how a model is trained to explain itself, one file each.

A method is a module around the model whose `forward` is its losses, so that data-parallel training sees one wrapped
call. It has a frozen config beside it, `losses` (named terms, each a share of the mean over the global batch),
`weights` (what each term counts for in the sum) and `explain` (logits and scores). A new method is one file and one
line in `METHODS`.
"""

from unirex.methods.unirex import Unirex

METHODS = {"unirex": Unirex}
