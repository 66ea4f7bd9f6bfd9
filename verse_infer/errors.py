"""Everything that can go wrong and is not a bug.

VerseError
├── InputError          the scan cannot be used as it is
├── CentroidFileError   a centroid file cannot be read
├── WeightsError        weights missing, damaged or of another contract
└── UsageError          wrong command line or environment

Every message names the file or value, what was expected, and what came.
"""


class VerseError(Exception):
    """Base of all errors whose message is meant for the user."""


class InputError(VerseError):
    """The scan is not a CT volume, or its geometry or voxels cannot be used."""


class CentroidFileError(VerseError):
    """A centroid JSON is malformed or in another convention than stated."""


class WeightsError(VerseError):
    """A weights folder is missing, damaged, or does not fulfil the contract."""


class UsageError(VerseError):
    """The command line or the environment does not allow the run."""
