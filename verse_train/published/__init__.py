"""The networks that Payer et al. published after VerSe 2019 and 2020, and the import of their weights."""
