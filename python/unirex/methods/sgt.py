"""SGT: Improving Deep Learning Interpretability by Saliency Guided Training (Ismail et al., NeurIPS 2021)."""

from unirex.methods.joint import Joint
from unirex.methods.settings.sgt import SgtFacts


class Sgt(SgtFacts, Joint):
    """The task model is taught to answer alike when the tokens of low attribution are hidden.

    Each step keeps the top fractions by the model's own attribution; the loss is the task's and KL(full || kept). The
    original replaces one share of low-gradient features by random values of the same feature; here, as in the UNIREX
    paper, tokens are hidden, at every fraction.
    """
