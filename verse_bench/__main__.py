"""`python -m verse_bench`."""

from verse_bench.cli import main

main()
