"""Finding the scans of an input folder: flat, one folder per case, or BIDS-like."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verse_infer.errors import UsageError
from verse_infer.output_names import OutputNames, is_derivative, is_nifti, output_names
from verse_infer.verse_files import Convention


@dataclass(frozen=True, slots=True)
class Case:
    """One scan. relative: its path inside the input folder. rival: another case with its outputs."""

    path: Path
    relative: Path
    outputs: OutputNames
    rival: Path | None = None


def find_cases(source: Path, output: Path, convention: Convention) -> tuple[Case, ...]:
    """Scans below a folder, or the one file, in the order of their names.

    Hidden files, masks and other derivatives, and anything below the output folder are passed over;
    in a BIDS-like tree (with a folder rawdata) only …_ct files count. File links are followed, as
    data sets are often made of them; folder links are not. A case whose outputs another one
    already has gets that one as its rival. UsageError where there is nothing to read.
    """
    if source.is_file():
        found = [source]
        root = source.parent
    elif source.is_dir():
        found, root = sorted(_scans(source, output)), source
    else:
        raise UsageError(f"--input {source}: expected a folder or a NIfTI file, found neither")
    if (root / "rawdata").is_dir() and source.is_dir():
        found = [path for path in found if path.name.lower().rsplit(".nii", 1)[0].endswith("_ct")]
    cases: list[Case] = []
    taken: dict[Path, Path] = {}
    for path in found:
        relative = path.relative_to(root)
        names = output_names(relative, output, convention)
        rival = taken.setdefault(names.mask, relative)
        cases.append(Case(path, relative, names, None if rival == relative else rival))
    return tuple(cases)


def _scans(source: Path, output: Path) -> Iterator[Path]:
    inner_output = output.resolve()
    for folder, folders, files in os.walk(source):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (here / name).resolve() != inner_output
        )
        for name in files:
            path = here / name
            relative = path.relative_to(source)
            hidden = name.startswith(".")
            if not hidden and is_nifti(path) and not is_derivative(relative) and path.is_file():
                yield path
