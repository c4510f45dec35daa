"""The configuration of a run: settings, presets, the command line, and checks."""
