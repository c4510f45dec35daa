"""What a run is told: settings, presets, the command line, and what they must not say."""
