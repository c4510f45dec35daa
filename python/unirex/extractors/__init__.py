"""Rationale extractors: from hidden states or a model to one score per token."""
