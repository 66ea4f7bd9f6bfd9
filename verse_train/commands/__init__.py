"""The subcommands of python -m verse_train, by what they make."""
