"""Rows of tokens through any pretrained encoder, with a gate on every token."""
