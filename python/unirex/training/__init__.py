"""A run: its parts, its batches and steps, and what a person sees of it."""
