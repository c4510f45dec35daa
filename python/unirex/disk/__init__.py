"""What a run leaves on the disk: the only place that knows its paths and formats."""
