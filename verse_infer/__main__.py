"""python -m verse_infer: the command, see verse_infer.cli."""

import sys

from verse_infer.surroundings import run_isolated

if __name__ == "__main__":
    run_isolated("verse_infer")
    from verse_infer.cli import main

    sys.exit(main())
