"""Texts that people may have written or edited, in whatever editor."""

import json
from pathlib import Path
from typing import Any


def read_text(path: Path) -> str:
    """UTF-8, UTF-16 or UTF-32, with or without a byte order mark, as Windows' editors write it.

    OSError; UnicodeDecodeError (a ValueError) where it is none of these.
    """
    content = path.read_bytes()
    return content.decode(json.detect_encoding(content))


def read_json(path: Path) -> Any:
    """What a JSON file holds; OSError, or ValueError where it is no JSON."""
    return json.loads(read_text(path))
