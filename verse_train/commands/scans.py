"""Synthetic scans, and results beside a truth."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verse_infer.errors import UsageError
from verse_infer.weights import ALL_STAGES

if TYPE_CHECKING:
    from verse_train.synthetic.bending import Configuration

logger = logging.getLogger(__name__)


def add_to(commands: Any) -> None:
    """phantom, check, naming-table, cut-views, synthesise, trial-scans."""
    phantom = commands.add_parser("phantom", help="write the synthetic sample scan and its truth")
    phantom.add_argument("--output", type=Path, required=True)
    phantom.add_argument("--seed", type=int, help="another one than the sample's")
    phantom.set_defaults(command=_phantom)
    check = commands.add_parser("check", help="compare results with annotations")
    check.add_argument("--truth", type=Path, required=True, help="an annotated data set")
    check.add_argument("--output", type=Path, required=True, help="the container's output folder")
    check.add_argument("--within-mm", type=float, help="fail unless all are found within this")
    check.add_argument("--least-dice", type=float, help="fail unless the mean Dice reaches this")
    check.add_argument("--pictures", type=Path, help="folder for pictures of what is wrong")
    check.set_defaults(command=_check)
    table = commands.add_parser(
        "naming-table", help="names right by region, field of view, length and slice thickness"
    )
    table.add_argument("--truth", type=Path, nargs="+", required=True, help="annotated data sets")
    table.add_argument(
        "--output", type=Path, nargs="+", required=True, help="results, one for each"
    )
    table.set_defaults(command=_naming_table)
    views = commands.add_parser("cut-views", help="write random parts of annotated scans")
    views.add_argument("--data", type=Path, nargs="+", required=True, help="annotated data sets")
    views.add_argument("--masks", type=Path, help="the container's output for the uncut scans")
    views.add_argument("--count", type=int, default=3, help="views of each scan")
    views.add_argument("--seed", type=int, default=7)
    views.add_argument("--output", type=Path, required=True)
    views.set_defaults(command=_cut_views)
    bank = commands.add_parser("synthesise", help="draw synthetic scans for a stage")
    bank.add_argument("--stage", choices=ALL_STAGES, required=True)
    bank.add_argument("--count", type=int, required=True)
    bank.add_argument("--seed", type=int, default=1)
    bank.add_argument("--atlas", type=Path, help="folder of the BodyParts3D meshes")
    bank.add_argument("--landmarks", type=Path, help="folder of the VerSe centroids to bend it to")
    bank.add_argument("--masks", type=Path, nargs="*", default=(), help="real vertebra masks")
    bank.add_argument("--cache", type=Path, required=True)
    bank.set_defaults(command=_synthesise)
    trial = commands.add_parser("trial-scans", help="write synthetic scans with truth to score on")
    trial.add_argument("--count", type=int, default=100)
    trial.add_argument("--seed", type=int, default=900, help="not that of a training's bank")
    trial.add_argument("--atlas", type=Path, help="folder of the BodyParts3D meshes")
    trial.add_argument("--landmarks", type=Path, help="folder of the VerSe centroids to bend it to")
    trial.add_argument("--operated", action="store_true", help="all with screws, half with cement")
    trial.add_argument("--output", type=Path, required=True)
    trial.set_defaults(command=_trial_scans)


def _phantom(arguments: argparse.Namespace) -> int:
    from verse_train.synthetic.sample import SEED, write_sample

    seed = SEED if arguments.seed is None else arguments.seed
    logger.info("sample written: %s", write_sample(arguments.output, seed))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from verse_train.check import compare, summary, write_pictures

    comparisons = compare(arguments.truth, arguments.output)
    logger.info("compared with %s\n%s", arguments.truth, summary(comparisons))
    if arguments.pictures:
        write_pictures(arguments.truth, arguments.output, arguments.pictures, comparisons)
    good = True
    if arguments.within_mm is not None:
        good &= all(
            not c.missed and max(c.distances.values()) <= arguments.within_mm for c in comparisons
        )
    if arguments.least_dice is not None:
        good &= all(c.mean_dice >= arguments.least_dice for c in comparisons)
    return 0 if good else 1


def _naming_table(arguments: argparse.Namespace) -> int:
    from verse_train.identification.naming_table import naming_table, scored_scans

    if len(arguments.truth) != len(arguments.output):
        raise UsageError("--output: expected one folder for each of --truth")
    pairs = zip(arguments.truth, arguments.output, strict=True)
    scans = [scan for truth, output in pairs for scan in scored_scans(truth, output)]
    logger.info("\n%s", naming_table(scans))
    return 0


def _cut_views(arguments: argparse.Namespace) -> int:
    from verse_train.data.datasets import find_scans
    from verse_train.identification.cut_views import mask_of, write_cut_views

    for root in arguments.data:
        for scan in find_scans(root):
            mask = mask_of(scan, arguments.masks) if arguments.masks else None
            views = write_cut_views(scan, arguments.output, arguments.count, arguments.seed, mask)
            logger.info("%s: %d views", scan.name, len(views))
    return 0


def _synthesise(arguments: argparse.Namespace) -> int:
    from verse_train.synthetic.atlas import voxelise_body
    from verse_train.synthetic.bank import bank_spacing, fill_bank, fill_mask_bank

    spacing = bank_spacing(arguments.stage)
    for mask in arguments.masks:
        fill_mask_bank(arguments.cache, mask, arguments.count, arguments.seed)
    if not arguments.masks:
        atlas = voxelise_body(arguments.atlas, spacing) if arguments.atlas else None
        spines = _real_spines(arguments.landmarks)
        fill_bank(arguments.cache, arguments.stage, arguments.count, arguments.seed, atlas, spines)
    return 0


def _real_spines(folder: Path | None) -> "list[Configuration]":
    """Centroids of the folder's scans, one of each patient; none without a folder."""
    from verse_train.centroid_statistics import read_unique_scans

    return list(read_unique_scans(folder).values()) if folder else []


def _trial_scans(arguments: argparse.Namespace) -> int:
    from verse_train.synthetic.atlas import voxelise_body
    from verse_train.synthetic.rendering import TRAINING
    from verse_train.synthetic.trial_scans import OPERATED, write_trial_scans

    atlas = voxelise_body(arguments.atlas, 1.0) if arguments.atlas else None
    spines = _real_spines(arguments.landmarks)
    rendering = OPERATED if arguments.operated else TRAINING
    output, count, seed = arguments.output, arguments.count, arguments.seed
    paths = write_trial_scans(output, count, seed, atlas, spines, rendering)
    logger.info("%d scans below %s", len(paths), arguments.output)
    return 0
