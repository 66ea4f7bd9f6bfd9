"""Synthetic CTs with exact vertebra masks and centroids."""
