"""From the files of a folder pair to the scores of a team, scan by scan."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from verse_eval.case_pairs import CaseFiles, CasePair, pair_cases
from verse_eval.label_maps import Grid, LabelMap, read_grid, read_label_map
from verse_eval.scan_scores import Annotation, ScanScore, Tasks, score_scan
from verse_infer.errors import CentroidFileError, InputError
from verse_infer.files.verse import Convention, read_centroids

logger = logging.getLogger(__name__)


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

    Centroids count on the grid of their own mask, else on that of their CT, else on `grid`.
    """
    mask: LabelMap | None = None
    if files.mask:
        mask, grid = read_label_map(files.mask)
        if mask.passed_over:
            logger.info("%s: values %s are no vertebrae", files.mask, list(mask.passed_over))
    elif files.ct:
        grid = read_grid(files.ct)
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
