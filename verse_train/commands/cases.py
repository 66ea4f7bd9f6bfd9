"""Prepared cases of real scans."""

import argparse
import logging
from pathlib import Path
from typing import Any

from verse_infer.errors import UsageError
from verse_infer.weights import ALL_STAGES, IDENTIFICATION, STAGES
from verse_train.sizes import Size

logger = logging.getLogger(__name__)


def add_to(commands: Any) -> None:
    """prepare, self-label, self-annotate."""
    prepare = commands.add_parser("prepare", help="prepare annotated scans for a stage")
    prepare.add_argument("--stage", choices=ALL_STAGES, required=True)
    prepare.add_argument("--config", default=Size.COMPACT, choices=tuple(Size))
    prepare.add_argument("--data", type=Path, nargs="+", required=True)
    prepare.add_argument("--cache", type=Path, required=True)
    prepare.set_defaults(command=_prepare)
    labels = commands.add_parser(
        "self-label", help="masks of real scans with centroids, by a network, to train stage 3 on"
    )
    add = labels.add_argument
    add("--data", type=Path, nargs="+", required=True, help="annotated data sets")
    add("--weights", type=Path, required=True, help="weights folder whose stage 3 answers")
    add("--without", nargs="*", default=(), help="patients held out")
    add("--reject", nargs="*", default=(), metavar="SCAN:VERTEBRA", help="wrong in the pictures")
    add("--cache", type=Path, required=True, help="prepared cases and pictures to look at")
    labels.set_defaults(command=_self_label)
    centroids = commands.add_parser(
        "self-annotate", help="prepare scans for stages 1 and 2 with the container's own centroids"
    )
    add = centroids.add_argument
    add("--stage", choices=STAGES[:2], required=True)
    add("--config", default=Size.COMPACT, choices=tuple(Size))
    add("--data", type=Path, required=True, help="a folder that the container has worked on")
    add("--answers", type=Path, required=True, help="the container's output for it")
    add("--without", nargs="*", default=(), help="patients held out")
    add("--reject", nargs="*", default=(), metavar="SCAN", help="wrong in the pictures")
    add("--cache", type=Path, required=True, help="prepared cases and pictures to look at")
    centroids.set_defaults(command=_self_annotate)


def _prepare(arguments: argparse.Namespace) -> int:
    from verse_train.data.datasets import find_scans, with_masks
    from verse_train.data.preparation import prepare_scan

    spacing, smoothing, whole = _preparation(arguments)
    scans = [scan for root in arguments.data for scan in find_scans(root)]
    for scan in with_masks(scans) if arguments.stage == STAGES[2] else scans:
        path = prepare_scan(scan, spacing, smoothing, arguments.cache, whole=whole)
        logger.info("%s: %s", scan.name, path)
    return 0


def _preparation(arguments: argparse.Namespace) -> tuple[float, float, bool]:
    """Spacing and smoothing, mm, of the cases of a stage; and whether they keep the whole width."""
    from verse_train.config import CONFIGS
    from verse_train.identification.pictures import SMOOTHING_MM, SPACING_MM

    if arguments.stage == IDENTIFICATION:
        return SPACING_MM, SMOOTHING_MM, False
    config = CONFIGS[arguments.config][arguments.stage]
    if arguments.stage == STAGES[0]:
        # Samples come from twice the resolution, so that rotations do not blur them.
        return config.spacing_mm / 2, 2 * config.smoothing_mm, True
    return config.spacing_mm, config.smoothing_mm, False


def _self_label(arguments: argparse.Namespace) -> int:
    from verse_infer.anatomy import VERTEBRAE, label_of
    from verse_infer.networks import load_networks
    from verse_train.data.datasets import find_scans
    from verse_train.data.pseudo_labels import self_label

    rejected: dict[str, set[int]] = {}
    for entry in arguments.reject:
        scan_name, _, vertebra = entry.rpartition(":")
        if vertebra not in VERTEBRAE:
            raise UsageError(f"--reject {entry}: expected SCAN:VERTEBRA, such as sub1:L4")
        rejected.setdefault(scan_name, set()).add(label_of(vertebra))
    network = load_networks(arguments.weights).segmentation
    for root in arguments.data:
        for scan in find_scans(root):
            if scan.patient not in arguments.without:
                wrong = rejected.get(scan.name, set())
                logger.info("%s: %s", scan.name, self_label(scan, network, arguments.cache, wrong))
    return 0


def _self_annotate(arguments: argparse.Namespace) -> int:
    from verse_train.data.pseudo_labels import answered_scans, self_annotate

    spacing, smoothing, whole = _preparation(arguments)
    scans = answered_scans(arguments.data, arguments.answers)
    if unknown := set(arguments.reject) - {scan.name for scan in scans}:
        raise UsageError(f"--reject {' '.join(sorted(unknown))}: expected names of answered scans")
    held = {scan.name for scan in scans if scan.patient in arguments.without}
    left_out = held | set(arguments.reject)
    kept = self_annotate(scans, spacing, smoothing, arguments.cache, whole=whole, left_out=left_out)
    logger.info("%d of %d scans kept; pictures in %s", len(kept), len(scans), arguments.cache)
    return 0
