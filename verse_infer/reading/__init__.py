"""From a NIfTI file to a CT in memory: everything a file can claim is checked before it is believed."""
