"""One line of log per record, whatever stands in a file's name."""

import logging
import os
import sys

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class OneLine(logging.Formatter):
    """Escapes control characters in messages, so that no file name forges a line; not tracebacks."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The message without line breaks or terminal codes."""
        line = super().formatMessage(record)
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def set_up_logging(*, verbose: bool) -> None:
    """Log to the standard error stream; quieten the libraries."""
    # TensorFlow reads it when it is first imported, which happens later.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(_FORMAT))
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("tensorflow", "absl", "h5py", "matplotlib", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # It prints what it thinks of a header, naming no file; here that is a flag or an error.
    logging.getLogger("nibabel").setLevel(logging.CRITICAL)
