"""Evaluation as the VerSe organisers do it: metrics, ranking, report."""
