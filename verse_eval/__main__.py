"""`python -m verse_eval`."""

import sys

from verse_eval.cli import main

sys.exit(main())
