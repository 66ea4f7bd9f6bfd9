"""From the files of a folder pair to the scores of a team, scan by scan."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verse_eval.grids import Grid, LabelMap, read_grid, read_label_map
from verse_eval.pairs import CaseFiles, CasePair, pair_cases
from verse_eval.scan_scores import Annotation, ScanScore, Tasks, score_scan
from verse_infer.ct import turn_onto
from verse_infer.errors import CentroidFileError, InputError
from verse_infer.files.verse import Convention, read_centroids
from verse_infer.grid import Lattice

#: A mask with as many voxels as its reference that lies farther from it has lost its header, mm.
OTHER_PLACE_MM = 10.0


@dataclass(frozen=True, slots=True)
class TeamScores:
    """A team's scores over a data set. unpaired: names of predictions that have no reference."""

    team: str
    scans: tuple[ScanScore, ...]
    unpaired: tuple[str, ...] = ()

    @property
    def problems(self) -> dict[str, str]:
        """Scans where something was missing or could not be read, with the reason."""
        return {scan.name: scan.problem for scan in self.scans if scan.problem}


def score_folders(
    team: str,
    reference: Path,
    prediction: Path,
    jobs: int = 1,
    done: Callable[[ScanScore], None] = lambda _: None,
) -> TeamScores:
    """Score every scan of a reference folder; jobs: scans at a time; done: called after each.

    A prediction that is missing or cannot be read counts as one without any vertebra, and the scan
    says so; a reference that cannot be read raises InputError or CentroidFileError.
    """
    pairs, unpaired = pair_cases(reference, prediction)
    tasks = tasks_of(pairs)

    def score(pair: CasePair) -> ScanScore:
        scan = score_case(pair, tasks)
        done(scan)
        return scan

    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        return TeamScores(team, tuple(pool.map(score, pairs)), unpaired)


def tasks_of(pairs: Sequence[CasePair]) -> Tasks:
    """A team takes part in a task if it has at least one file for it."""
    found = [pair.prediction for pair in pairs if pair.prediction]
    return Tasks(
        labelling=any(files.centroids for files in found),
        segmentation=any(files.mask for files in found),
    )


def score_case(
    pair: CasePair, tasks: Tasks | None = None, convention: Convention | None = None
) -> ScanScore:
    """Read and score one scan. convention: of the reference's centroids, if its name does not say."""
    tasks = tasks or Tasks()
    reference, grid = _read(pair.reference, None, convention)
    if pair.prediction is None:
        return score_scan(pair.name, reference, Annotation(), tasks, "no prediction")
    prediction, problem = _prediction(pair.prediction, grid, tasks)
    return score_scan(pair.name, reference, prediction, tasks, problem)


def _prediction(files: CaseFiles, grid: Grid | None, tasks: Tasks) -> tuple[Annotation, str | None]:
    lacking = [
        kind
        for kind, path, wanted in (
            ("centroids", files.centroids, tasks.labelling),
            ("mask", files.mask, tasks.segmentation),
        )
        if wanted and path is None
    ]
    problem = f"no {' and no '.join(lacking)}" if lacking else None
    try:
        return _read(files, grid)[0], problem
    except (InputError, CentroidFileError) as error:
        return Annotation(), f"cannot be read: {error}"


def _read(
    files: CaseFiles, grid: Grid | None, convention: Convention | None = None
) -> tuple[Annotation, Grid | None]:
    """Annotation of a scan and the grid its centroids count on.

    Centroids count on the grid of their own mask, else on that of their CT, else on `grid`, which is
    the reference's. InputError where they could count on two, or where the mask lies elsewhere.
    """
    mask: LabelMap | None = None
    if files.mask:
        mask, own = read_label_map(files.mask)
        _check_place(files, own, grid)
        grid = own
    elif files.cts:
        grid = read_grid(files.cts[0])
    centroids = cut = None
    if files.centroids:
        if grid is None:
            raise InputError(
                f"{files.centroids}: expected a mask or a CT beside it, or a reference with one, "
                "for the grid it counts on; found none"
            )
        centroids = read_centroids(files.centroids, grid.source, convention)
        cut = read_centroids(files.cut, grid.source, "verse") if files.cut else ()
    return Annotation(centroids, mask, cut or ()), grid


def _check_place(files: CaseFiles, mask: Grid, reference: Grid | None) -> None:
    """InputError where a header puts a mask elsewhere than its CT, or than its reference, does.

    A mask on a grid of its own is compared in space, as long as no centroids count on either grid.
    """
    if files.cts and files.centroids:
        problems = [problem for ct in files.cts if (problem := _other_grid(mask, read_grid(ct)))]
        if len(problems) == len(files.cts):
            raise InputError(
                f"{files.mask}: not on the grid of its CT {files.cts[0]}: {problems[0]}"
            )
    if reference is None or (problem := _other_grid(mask, reference)) is None:
        return
    far = _farthest_mm(mask.lattice, reference.lattice)
    same_size = sorted(mask.source.shape) == sorted(reference.source.shape)
    if _apart(mask.lattice, reference.lattice) or (same_size and far > OTHER_PLACE_MM):
        raise InputError(f"{files.mask}: not in the space of its reference: {problem}")


def _other_grid(one: Grid, other: Grid) -> str | None:
    """What differs where two files do not have the same voxels."""
    try:
        turn_onto(one.source, other.source)
    except ValueError as error:
        return str(error)
    return None


def _farthest_mm(one: Lattice, other: Lattice) -> float:
    """Largest distance of corners of two lattices of the same size."""
    return float(np.linalg.norm(one.corners() - other.corners(), axis=1).max())


def _apart(one: Lattice, other: Lattice) -> bool:
    """Do the boxes around two lattices, along the body's axes, have nothing in common?"""
    low = np.maximum(one.corners().min(axis=0), other.corners().min(axis=0))
    high = np.minimum(one.corners().max(axis=0), other.corners().max(axis=0))
    return bool((low > high).any())
