"""Inference: one spine CT in, labelled vertebral centroids and a vertebra mask out."""

__version__ = "0.1.0"
