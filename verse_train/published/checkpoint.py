"""Reading a published TensorFlow checkpoint: only what fits is read, anything else is named."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_infer.errors import WeightsError

Shape = tuple[int, ...]
Floats = NDArray[np.float32]
#: A message about many variables names this many of them.
MOST_NAMED = 6


def read_variables(
    prefix: Path, expected: Mapping[str, Shape], ignored: re.Pattern[str]
) -> dict[str, Floats]:
    """The expected variables of a checkpoint, float32, by name.

    prefix: path without ".index" and ".data-…". ignored: matches the names of variables that are
    no weights of the network (optimiser, counters). Raises WeightsError, with names and shapes
    expected and found, where files are missing or damaged, or where the variables that are not
    ignored are not exactly the expected ones.
    """
    _check_files(prefix)
    reader = _reading(prefix, lambda: _open(prefix))
    shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
    unused = [name for name in shapes if ignored.fullmatch(name)]
    _check_fit(prefix, expected, {n: shape for n, shape in shapes.items() if n not in unused})
    for name in unused:  # read all the same: a file cut off there is a failed download, too
        _tensor(prefix, reader, name)
    return {name: _numbers(prefix, reader, name) for name in expected}


def _check_files(prefix: Path) -> None:
    """The index and every shard it is accompanied by exist."""
    index = prefix.with_name(f"{prefix.name}.index")
    if not index.is_file():
        raise WeightsError(f"{index}: expected a TensorFlow checkpoint's index, found none")
    shards = sorted(path.name for path in prefix.parent.glob(f"{prefix.name}.data-*-of-*"))
    if not shards:
        raise WeightsError(f"{prefix}.data-00000-of-…: expected beside the index, found none")
    count = shards[0].rpartition("-of-")[2]
    if not count.isdigit():
        raise WeightsError(f"{prefix.parent / shards[0]}: expected a name ending in a number")
    wanted = [f"{prefix.name}.data-{i:05d}-of-{count}" for i in range(int(count))]
    if shards != wanted:
        raise WeightsError(
            f"{prefix.parent}: expected the data files {', '.join(wanted)}, got {', '.join(shards)}"
        )


def _open(prefix: Path) -> Any:
    import tensorflow as tf

    return tf.train.load_checkpoint(str(prefix))


def _reading(prefix: Path, action: Callable[[], Any]) -> Any:
    """What the action returns; errors of TensorFlow's reader become a WeightsError."""
    import tensorflow as tf

    try:
        return action()
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"{prefix}: expected a whole TensorFlow checkpoint, got a damaged or truncated one, or "
            f"a placeholder of a file: {reason}"
        ) from error


def _check_fit(prefix: Path, expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> None:
    missing = [f"{n} {expected[n]} expected, none found" for n in expected if n not in found]
    other = [
        f"{n} {expected[n]} expected, {found[n]} found"
        for n in expected
        if n in found and found[n] != expected[n]
    ]
    unknown = [f"{n} {found[n]} found, none expected" for n in found if n not in expected]
    problems = [*sorted(other), *sorted(missing), *sorted(unknown)]
    if problems:
        raise WeightsError(
            f"{prefix}: does not fit the published network: expected {len(expected)} variables, "
            f"got {len(found)}, of which {len(expected) - len(missing) - len(other)} fit: "
            + _listed(problems)
        )


def _listed(problems: Sequence[str]) -> str:
    rest = len(problems) - MOST_NAMED
    return "; ".join(problems[:MOST_NAMED]) + (f"; and {rest} more" if rest > 0 else "")


def _tensor(prefix: Path, reader: Any, name: str) -> Any:
    return _reading(prefix, lambda: reader.get_tensor(name))


def _numbers(prefix: Path, reader: Any, name: str) -> Floats:
    values = np.asarray(_tensor(prefix, reader, name))
    if values.dtype != np.float32:
        raise WeightsError(f"{prefix}: {name}: expected float32, got {values.dtype}")
    if not np.isfinite(values).all():
        bad = np.count_nonzero(~np.isfinite(values))
        raise WeightsError(f"{prefix}: {name}: expected finite numbers, got {bad} others")
    return values
