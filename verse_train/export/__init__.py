"""From trainings to a weights folder."""
