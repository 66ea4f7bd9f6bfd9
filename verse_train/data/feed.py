"""Samples drawn by worker processes ahead of the training step."""

import logging
import multiprocessing
import multiprocessing.pool
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from verse_infer.errors import UsageError
from verse_train.config import TrainingConfig
from verse_train.data.prepared import PreparedCase, load_prepared
from verse_train.data.samples import Sample, draw_sample

logger = logging.getLogger(__name__)
#: Samples that each worker draws ahead of the training.
AHEAD = 8


@dataclass(frozen=True, slots=True)
class CaseGroup:
    """Prepared cases of one kind, such as real or synthetic; weight: how often it is drawn from."""

    paths: tuple[Path, ...]
    weight: float


def case_group(folder: Path, weight: float, without: Sequence[str] = ()) -> CaseGroup:
    """All prepared cases of a folder, except those of the given patients."""
    kept = tuple(path for path in _prepared_cases(folder) if _patient(path) not in without)
    if not kept:
        raise UsageError(f"{folder}: expected prepared cases (.npz), found none to train on")
    return CaseGroup(kept, weight)


def held_group(folder: Path, weight: float, patients: Sequence[str]) -> tuple[CaseGroup, ...]:
    """The prepared cases of the given patients alone; empty if the folder has none of theirs."""
    held = tuple(path for path in _prepared_cases(folder) if _patient(path) in patients)
    return (CaseGroup(held, weight),) if held else ()


def patients_of(groups: Sequence[CaseGroup]) -> set[str]:
    """Everyone who has a case in the groups."""
    return {_patient(path) for group in groups for path in group.paths}


def _prepared_cases(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npz"))


def _patient(path: Path) -> str:
    with np.load(path, allow_pickle=False) as stored:
        return str(stored["patient"])


T = TypeVar("T")


@dataclass
class Feed(Generic[T]):
    """An endless stream of samples, drawn by other processes.

    draw: sample number i, whatever was drawn before; it goes to other processes. waited_s: how long the
    training has waited for samples so far.
    """

    draw: Callable[[int], T]
    workers: int
    first: int = 0
    waited_s: float = field(default=0.0, init=False)

    def __iter__(self) -> Iterator[T]:
        """Yield samples `first`, `first` + 1, …; draws up to AHEAD per worker ahead."""
        context = multiprocessing.get_context("spawn")
        with context.Pool(self.workers) as pool:
            ahead = deque(self._ask(pool, self.first + i) for i in range(AHEAD * self.workers))
            number = self.first + len(ahead)
            while True:
                started = time.perf_counter()
                sample = ahead.popleft().get()
                self.waited_s += time.perf_counter() - started
                ahead.append(self._ask(pool, number))
                number += 1
                yield sample

    def _ask(
        self, pool: "multiprocessing.pool.Pool", number: int
    ) -> "multiprocessing.pool.AsyncResult[T]":
        return pool.apply_async(self.draw, (number,))


def numbered_sample(
    groups: Sequence[CaseGroup], config: TrainingConfig, seed: int, number: int
) -> Sample:
    """Sample `number` of the stream with this seed."""
    rng = np.random.default_rng((seed, number))
    return draw_sample(_case(chosen_case(groups, rng)), config, rng)


def chosen_case(groups: Sequence[CaseGroup], rng: np.random.Generator) -> Path:
    """A random case: a group by its weight, then any of its cases."""
    weights = np.array([group.weight for group in groups])
    group = groups[int(rng.choice(len(groups), p=weights / weights.sum()))]
    return group.paths[int(rng.integers(len(group.paths)))]


@lru_cache(maxsize=48)
def _case(path: Path) -> PreparedCase:
    return load_prepared(path)
