"""Training of the network that names vertebrae in straightened pictures (verse_infer.straightening)."""
