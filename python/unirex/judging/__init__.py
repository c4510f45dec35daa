"""From a model and data to prediction rows and their metrics."""
