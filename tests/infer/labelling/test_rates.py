"""How often both rules recover the true sequence from simulated heatmap maxima.

Measured with simulated_candidates.py on every real scan of ../shared/data/landmarks and, where
those are absent, on spines walked along the mean offsets. A scan counts as right when exactly its
complete vertebrae come back, each with its label and within 10 mm; right vertebrae are counted
over all scans. "argmax" is the largest response above 0.25 of each heatmap, for comparison, and
"published" the chain without steps over missing vertebrae. Seeds are fixed; the asserted bounds
lie below the measured rates by one or two standard errors of so many scans.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from tests.helpers.simulated_candidates import Points, SimulatedScan, simulate
from verse_infer.anatomy import CRANIOCAUDAL_LABELS, MEAN_OFFSETS_MM, label_of
from verse_infer.ct import Centroid
from verse_infer.labelling import ChainRule, drop_near_ends, label_by_chain, label_by_sequence
from verse_train.centroid_statistics import read_unique_scans

LANDMARKS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "landmarks"
T11, T12, T13, L1, L6 = (label_of(name) for name in ("T11", "T12", "T13", "L1", "L6"))
needs_landmarks = pytest.mark.skipif(not LANDMARKS.is_dir(), reason="no ../shared/data/landmarks")

Rule = Callable[[SimulatedScan], Sequence[Centroid]]


def by_argmax(scan: SimulatedScan) -> list[Centroid]:
    best: dict[int, Centroid] = {}
    for candidate in scan.candidates:
        held = best.get(candidate.label)
        if candidate.response > 0.25 and (held is None or candidate.response > held.response):
            best[candidate.label] = candidate
    return list(best.values())


RULES: Mapping[str, Rule] = {
    "argmax": by_argmax,
    "sequence": lambda scan: label_by_sequence(scan.candidates, scan.z_range),
    "published": lambda scan: label_by_chain(scan.candidates, ChainRule(max_missing=0)),
    "chain": lambda scan: label_by_chain(scan.candidates),
}


@dataclass(frozen=True)
class Rates:
    """Fractions of scans wholly right and of vertebrae right; number of scans."""

    scans: float
    vertebrae: float
    count: int


def rates(simulated: Sequence[SimulatedScan], rule: Rule) -> Rates:
    whole, hits, vertebrae = 0, 0, 0
    for scan in simulated:
        found = {c.label: c.point for c in drop_near_ends(rule(scan), scan.z_range, 10.0)}
        right = sum(
            bool(np.linalg.norm(np.subtract(found.get(true.label, np.inf), true.point)) < 10)
            for true in scan.truth
        )
        whole += right == len(scan.truth) == len(found)
        hits += right
        vertebrae += len(scan.truth)
    return Rates(whole / len(simulated), hits / vertebrae, len(simulated))


def simulations(scans: Mapping[str, Points], repeats: int) -> Iterator[SimulatedScan]:
    """Each scan several times, each with random numbers of its own, whatever the others are."""
    for name, points in scans.items():
        for repeat in range(repeats):
            yield simulate(points, np.random.default_rng([repeat, zlib.crc32(name.encode())]))


@cache
def real_scans() -> dict[str, Points]:
    return {
        name: points for name, points in read_unique_scans(LANDMARKS).items() if len(points) > 1
    }


def has_t13(labels: Sequence[int]) -> bool:
    return T13 in labels and L1 in labels


def has_l6(labels: Sequence[int]) -> bool:
    return L6 in labels


def lacks_t12(labels: Sequence[int]) -> bool:
    return (T11, L1) in pairwise(labels)


def synthetic_scans(count: int) -> dict[str, Points]:
    """Parts of regular spines; each step deviates from the mean by about a tenth of its length."""
    spines = {}
    regular = [label for label in CRANIOCAUDAL_LABELS if label not in (T13, L6)]
    for number in range(count):
        rng = np.random.default_rng(number)
        length = int(rng.integers(5, 20))
        first = int(rng.integers(0, len(regular) - length + 1))
        labels = regular[first : first + length]
        points = [np.zeros(3)]
        for edge in pairwise(labels):
            mean = np.asarray(MEAN_OFFSETS_MM[edge])
            points.append(points[-1] + mean + rng.normal(0, 0.08 * np.linalg.norm(mean), 3))
        spines[f"synthetic{number}"] = dict(zip(labels, points, strict=True))
    return spines


def check(simulated: Sequence[SimulatedScan], least: Mapping[str, tuple[float, float]]) -> None:
    """Both rules reach (scans, vertebrae) at least, and the chain is right more often."""
    measured = {name: rates(simulated, rule) for name, rule in RULES.items()}
    for name, (scans, vertebrae) in least.items():
        assert measured[name].scans >= scans, measured
        assert measured[name].vertebrae >= vertebrae, measured
    for other in ("argmax", "sequence", "published"):
        assert measured["chain"].scans > measured[other].scans, measured
        assert measured["chain"].vertebrae > measured[other].vertebrae, measured


@pytest.mark.real_data
@needs_landmarks
def test_rates_on_every_real_scan_three_times():
    """423 scans right: argmax 51 %, sequence 69 %, published 68 %, chain 83 %.

    Vertebrae: 93, 91, 88 and 94 %. Where no vertebra is silent: sequence 81 %, both chains 85 % of
    scans. What the chain gets wrong are mostly shifts where most heatmaps name the wrong level.
    """
    simulated = list(simulations(real_scans(), 3))
    assert len(simulated) == 423
    check(simulated, {"sequence": (0.66, 0.89), "chain": (0.81, 0.93)})


@pytest.mark.real_data
@needs_landmarks
@pytest.mark.parametrize(
    ("variant", "scans", "repeats", "least"),
    [
        # 64 simulated scans; scans right: sequence 27 %, chain 83 %; vertebrae 87 and 95 %
        (has_t13, 2, 40, {"sequence": (0.21, 0.83), "chain": (0.77, 0.92)}),
        # 110; sequence 59 %, chain 78 %; vertebrae 83 and 91 %
        (has_l6, 16, 12, {"sequence": (0.54, 0.79), "chain": (0.74, 0.88)}),
        # 84; sequence 48 %, chain 82 %; vertebrae 86 and 94 %
        (lacks_t12, 3, 40, {"sequence": (0.42, 0.82), "chain": (0.77, 0.91)}),
    ],
)
def test_rates_on_rare_anatomies(variant, scans, repeats, least):
    """Only simulated scans that still show the variant count; repeats of the same few spines."""
    rare = {name: points for name, points in real_scans().items() if variant(list(points))}
    assert len(rare) == scans
    simulated = [
        scan for scan in simulations(rare, repeats) if variant([c.label for c in scan.truth])
    ]
    check(simulated, least)


def test_rates_on_synthetic_spines():
    """200 scans right: argmax 51 %, sequence 66 %, published 67 %, chain 85 %.

    Vertebrae: 92, 90, 87 and 94 %.
    """
    simulated = list(simulations(synthetic_scans(100), 2))
    check(simulated, {"sequence": (0.62, 0.87), "chain": (0.81, 0.91)})


@pytest.mark.parametrize("name", ["sequence", "chain"])
def test_a_crowd_of_candidates_takes_no_time(name):
    """26 heatmaps with 20 maxima each: about 0.01 s; the bound leaves room for a busy machine."""
    rng = np.random.default_rng(0)
    crowd = tuple(
        Centroid(label, tuple(rng.uniform(-300, 300, 3)), float(rng.uniform(0.1, 1)))
        for label in CRANIOCAUDAL_LABELS
        for _ in range(20)
    )
    scan = SimulatedScan((), crowd, (-300.0, 300.0))
    seconds = []
    for _ in range(3):
        start = perf_counter()
        RULES[name](scan)
        seconds.append(perf_counter() - start)
    assert min(seconds) < 0.2, seconds
