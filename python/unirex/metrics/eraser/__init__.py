"""Results in the ERASER layout, by the benchmark's conventions."""
