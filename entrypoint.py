"""Entry point of the container; see verse_infer.cli."""

import sys

from verse_infer.cli import main

if __name__ == "__main__":
    sys.exit(main())
