"""`python -m verse_train`."""

import sys

from verse_train.cli import main

sys.exit(main())
