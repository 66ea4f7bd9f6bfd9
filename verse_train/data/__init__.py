"""From annotated scans to samples."""
