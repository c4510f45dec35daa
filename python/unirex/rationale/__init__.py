"""From scores to rationales, and from rationales to perturbed rows."""
