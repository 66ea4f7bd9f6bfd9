"""A folder for the temporary files of libraries, where the system offers none.

With a read-only root and an empty or read-only /tmp, TensorFlow cannot even be imported. The one
place that is certain to be writable is the output folder.
"""

import shutil
import tempfile
from pathlib import Path

#: Hidden, so that it is never taken for a scan's folder; removed at the end, or by the next run.
NAME = ".verse-temporary"


def temporary_folder(output: Path) -> Path | None:
    """A new, empty folder inside the output folder; None where the system has one of its own."""
    remove_temporary_folder(output)
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        folder = output.absolute() / NAME
        folder.mkdir(parents=True)
        return folder
    return None


def remove_temporary_folder(output: Path) -> None:
    """Remove the folder that `temporary_folder` made, if it did."""
    shutil.rmtree(output / NAME, ignore_errors=True)
