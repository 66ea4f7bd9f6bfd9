"""The networks of the method, their losses, and what their answers are."""
