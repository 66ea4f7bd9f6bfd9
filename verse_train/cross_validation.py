"""Patient-wise cross-validation: each annotated scan is read by networks that never saw its patient."""

import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras

from verse_infer.anatomy import LABELS
from verse_infer.errors import InputError, UsageError
from verse_infer.texts import read_json
from verse_infer.weights import IDENTIFICATION, STAGES, Stage, read_manifest
from verse_train.check import Comparison, compare
from verse_train.config import CONFIGS
from verse_train.data.datasets import AnnotatedScan, find_scans
from verse_train.data.feed import CaseGroup, case_group, held_group
from verse_train.export.entries import identification_entry, stage_entry
from verse_train.export.weights_folder import (
    StageExport,
    export_weights,
    require_tensorflow,
    taken_over,
)
from verse_train.identification.network import answering_heads
from verse_train.identification.training import IdentificationTraining, train_identification
from verse_train.sizes import Size
from verse_train.training.run import PATIENTS, RunSettings, train, trained_patients

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is cross-validated, and where.

    data: annotated data sets; all their scans are scored. cases: by stage, folders of prepared
    cases with weights; those of a fold's patients are left out of its trainings, whose logs and
    pictures show how the networks answer to them.
    config: of the trainings. steps: by stage, instead of the configuration's. start: by stage, a
    training that every fold's training begins with (RunSettings.start); it must have seen none of
    the patients that are scored. weights: of the stages without cases, for all folds; whom they have seen
    is not known, so the log says that they are taken over. together: names of one patient each.
    folder: trainings, weights and results of all folds.
    """

    data: tuple[Path, ...]
    cases: Mapping[Stage, Sequence[tuple[Path, float]]]
    config: Size
    folder: Path
    folds: int = 3
    steps: Mapping[Stage, int] = field(default_factory=dict)
    start: Mapping[Stage, Path] = field(default_factory=dict)
    weights: Path | None = None
    together: tuple[tuple[str, ...], ...] = ()
    precision: str = "mixed_bfloat16"
    workers: int = 1


def cross_validate(plan: Plan) -> list[Comparison]:
    """Train what is not yet trained, run the container on every held-out scan, score all.

    Continues where it was stopped. A stage none of whose cases is of a fold's patients is trained
    once for all such folds. UsageError if a training that folds begin with saw a scored patient.
    """
    scans = _scans(plan)
    for number, patients in enumerate(folds_of(scans, plan.folds, plan.together)):
        weights = _fold_weights(plan, number, patients)
        for scan in scans:
            if scan.patient in patients:
                _run(scan, weights, plan.folder / "results" / f"fold{number}")
    results = plan.folder / "results"
    return [comparison for root in plan.data for comparison in compare(root, results)]


def train_fold(plan: Plan, number: int) -> Path:
    """Train what one fold (from 0) still lacks; returns its weights folder.

    Several folds may be trained side by side, by processes of their own, each on an accelerator or
    some cores; of a training that they share, the others await the end. UsageError as above.
    """
    folds = folds_of(_scans(plan), plan.folds, plan.together)
    if not 0 <= number < len(folds):
        raise UsageError(f"fold {number}: expected 0 to {len(folds) - 1}")
    return _fold_weights(plan, number, folds[number])


def folds_of(
    scans: Sequence[AnnotatedScan], count: int, together: Sequence[Sequence[str]] = ()
) -> list[tuple[str, ...]]:
    """Patients of each fold, with about as many annotated vertebrae in each; always the same.

    Patients with many vertebrae are dealt first, each to the fold with the fewest so far. together: names
    that belong to one patient each.
    """
    person = {name: names[0] for names in together for name in names}
    vertebrae: dict[str, int] = {}
    for scan in scans:
        who = person.get(scan.patient, scan.patient)
        vertebrae[who] = vertebrae.get(who, 0) + _annotated(scan)
    if len(vertebrae) < count:
        raise InputError(f"expected at least {count} patients, found {len(vertebrae)}")
    folds: list[list[str]] = [[] for _ in range(count)]
    totals = [0] * count
    for patient in sorted(vertebrae, key=lambda name: (-vertebrae[name], name)):
        emptiest = min(range(count), key=lambda fold: (totals[fold], fold))
        folds[emptiest].extend([patient, *(n for n, p in person.items() if p == patient != n)])
        totals[emptiest] += vertebrae[patient]
    return [tuple(sorted(fold)) for fold in folds]


def _scans(plan: Plan) -> list[AnnotatedScan]:
    """All scans to score; UsageError if a training that folds begin with saw one of them."""
    scans = [scan for root in plan.data for scan in find_scans(root)]
    scored = {scan.patient for scan in scans}
    for folder in plan.start.values():
        if not (folder / PATIENTS).exists():
            raise UsageError(
                f"{folder}: expected a training that has recorded its patients in {PATIENTS}; "
                "weights folders, and what begins with one, have not"
            )
        seen = sorted(scored & trained_patients(folder))
        if seen:
            raise UsageError(
                f"{folder}: has been trained on {' '.join(seen)}, who are to be scored"
            )
    return scans


def _fold_weights(plan: Plan, number: int, patients: Sequence[str]) -> Path:
    require_tensorflow()  # before the training, not after it
    logger.info("fold %d of %d: without %s", number + 1, plan.folds, " ".join(patients))
    weights = plan.folder / f"fold{number}" / "weights"
    if not weights.exists():
        export_weights(weights, f"fold{number}", _networks(plan, number, patients), {})
    return weights


def _networks(plan: Plan, number: int, patients: Sequence[str]) -> dict[Stage, StageExport]:
    exports = {stage: _taken_over(plan, stage) for stage in STAGES if stage not in plan.cases}
    for stage, cases in plan.cases.items():
        groups = [case_group(path, weight, patients) for path, weight in cases]
        held = [group for path, weight in cases for group in held_group(path, weight, patients)]
        # Without cases of the fold's patients there is nothing to leave out, nor to validate on.
        folder = plan.folder / (f"fold{number}" if held else "all") / stage
        if stage == IDENTIFICATION:
            exports[stage] = _identifying(plan, groups, held, folder)
            continue
        entry, answer = stage_entry(plan.config, stage)
        network = _trained(plan, stage, groups, held, folder)
        exports[stage] = StageExport([network], entry, answer, CONFIGS[plan.config][stage].size)
    return exports


def _taken_over(plan: Plan, stage: Stage) -> StageExport:
    if plan.weights is None:
        raise UsageError(f"{stage}: expected cases to train on, or weights to take it from")
    logger.info("%s: of %s, whatever patients it has seen", stage, plan.weights)
    entry = read_manifest(plan.weights).stages.present()[stage]
    return StageExport(taken_over(plan.weights, entry.models), entry)


def _identifying(
    plan: Plan, groups: Sequence[CaseGroup], held: Sequence[CaseGroup], folder: Path
) -> StageExport:
    config = IdentificationTraining()
    config = replace(config, steps=plan.steps.get(IDENTIFICATION, config.steps))
    settings = RunSettings(folder, workers=plan.workers, start=plan.start.get(IDENTIFICATION))
    network = train_identification(config, groups, settings, held)
    return StageExport([answering_heads(network)], identification_entry())


def _trained(
    plan: Plan,
    stage: Stage,
    groups: Sequence[CaseGroup],
    held: Sequence[CaseGroup],
    folder: Path,
) -> keras.Model:
    config = CONFIGS[plan.config][stage]
    config = replace(config, steps=plan.steps.get(stage, config.steps))
    settings = RunSettings(
        folder, precision=plan.precision, workers=plan.workers, start=plan.start.get(stage)
    )
    return train(config, groups, settings, held)


def _annotated(scan: AnnotatedScan) -> int:
    entries = read_json(scan.centroids)
    return sum(entry.get("label") in LABELS for entry in entries)


def _run(scan: AnnotatedScan, weights: Path, output: Path) -> None:
    """In a process of its own: the container takes over signals and logs."""
    options = ["--input", scan.ct, "--output", output, "--weights", weights, "--no-preview"]
    command = [sys.executable, "-m", "verse_infer", *map(str, options)]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise InputError(f"{scan.ct}: the container ended with exit code {code}")
