"""Throw mutated files at the reader: `make fuzz FUZZ_SECONDS=60`.

atheris (libFuzzer for Python) mutates the bad inputs of tests/infer and keeps what reaches new lines
of nibabel and verse_infer. It ends with a traceback and the offending bytes in a file crash-… where
the reader does anything but give a sound CT or refuse by name.
"""

import logging
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["verse_infer", "nibabel"]):
    from tests.helpers.bad_inputs import BAD_INPUTS
    from tests.helpers.reader_contract import read_or_refuse

ROOM = Path(tempfile.mkdtemp(prefix="verse-fuzz-"))
LARGEST_SEED = 2**14


def write_corpus(folder: Path) -> None:
    """The bad inputs as first examples; the first byte says whether the rest is zipped."""
    folder.mkdir(exist_ok=True)
    for number, item in enumerate(BAD_INPUTS):
        path = ROOM / item.name
        try:
            item.write(path)
        except OSError:
            continue
        if path.is_file() and not path.is_symlink() and path.stat().st_size < LARGEST_SEED:
            kind = b"\1" if item.name.lower().endswith(".gz") else b"\0"
            (folder / f"{number:03d}").write_bytes(kind + path.read_bytes())
        if path.is_file() or path.is_symlink():
            path.unlink()


def one_input(data: bytes) -> None:
    zipped = data[:1] == b"\1"
    path = ROOM / ("scan.nii.gz" if zipped else "scan.nii")
    path.write_bytes(data[1:])
    read_or_refuse(path)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    corpus = ROOM / "corpus"
    write_corpus(corpus)
    atheris.Setup([*sys.argv, str(corpus)], one_input)
    atheris.Fuzz()
