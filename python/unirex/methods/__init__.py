"""Methods: how a model is trained to explain itself, one file each.

A method is a module around the model whose `forward` is its losses, so that data-parallel training sees one wrapped
call. It has a frozen config beside it, `losses` (named terms, each a share of the mean over the global batch),
`weights` (what each term counts for in the sum) and `explain` (logits and scores). A new method is one file and one
line in `METHODS`.
"""

from typing import Any

from unirex.methods.a2r import A2r
from unirex.methods.fresh import Fresh
from unirex.methods.joint import Joint
from unirex.methods.l2e import L2e
from unirex.methods.sgt import Sgt

METHODS: dict[str, Any] = {"joint": Joint, "sgt": Sgt, "fresh": Fresh, "a2r": A2r, "l2e": L2e}
