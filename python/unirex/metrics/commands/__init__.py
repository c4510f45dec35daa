"""The faces of the metrics: `unirex-metrics` and its subcommands."""
