"""Entry point of the container: the command, see verse_infer.cli, isolated from what the host hands in."""

import os
import sys

if __name__ == "__main__":
    # An isolated Python (-I) does not look beside the script.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from verse_infer.surroundings import run_isolated

    run_isolated("verse_infer")
    from verse_infer.cli import main

    sys.exit(main())
