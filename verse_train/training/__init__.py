"""One training: what it starts with, its batches, its run."""
