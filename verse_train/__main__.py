"""python -m verse_train: sample scan, data preparation, training, export, check of results."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verse_infer.errors import UsageError, VerseError
from verse_infer.texts import read_json, read_text
from verse_infer.weights import STAGES

if TYPE_CHECKING:
    from verse_train.synthetic.bending import Configuration

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except VerseError as error:
        logger.error("%s", error)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m verse_train")
    commands = parser.add_subparsers(required=True)
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
    prepare = commands.add_parser("prepare", help="prepare annotated scans for a stage")
    prepare.add_argument("--stage", choices=STAGES, required=True)
    prepare.add_argument("--config", default="compact", choices=("compact", "paper"))
    prepare.add_argument("--data", type=Path, nargs="+", required=True)
    prepare.add_argument("--cache", type=Path, required=True)
    prepare.set_defaults(command=_prepare)
    _add_synthetic(commands)
    train = commands.add_parser("train", help="train one stage; continues where it was stopped")
    train.add_argument("--stage", choices=STAGES, required=True)
    train.add_argument("--config", default="compact", choices=("compact", "paper"))
    train.add_argument("--steps", type=int, help="instead of the configuration's")
    train.add_argument("--rate", type=float, help="learning rate instead of the configuration's")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--precision", default="mixed_bfloat16", help="Keras policy")
    train.add_argument("--workers", type=int, default=1)
    train.add_argument(
        "--without", nargs="*", default=(), help="patients held out; validated on instead"
    )
    train.add_argument(
        "--cases", nargs="+", required=True, metavar="FOLDER[=WEIGHT]", help="prepared cases"
    )
    train.add_argument("--run", type=Path, required=True, help="checkpoints and logs")
    train.add_argument("--start", type=Path, help="a training, or weights, to begin with")
    train.set_defaults(command=_train)
    _add_lighten(commands)
    export = commands.add_parser("export", help="make a weights folder from finished trainings")
    for stage in STAGES:
        option = "--" + stage.replace("_", "-")
        sources = "training folders, or weights to take over"
        export.add_argument(option, type=Path, nargs="+", required=True, help=sources)
    export.add_argument("--config", default="compact", choices=("compact", "paper"))
    export.add_argument("--name", required=True)
    export.add_argument("--facts", type=Path, help="JSON with training data, date, scores")
    export.add_argument("--card", type=Path, help="model card; without, one of what is known")
    export.add_argument("--output", type=Path, required=True)
    export.set_defaults(command=_export)
    _add_self_label(commands)
    _add_cross_validate(commands)
    _add_import_published(commands)
    return parser


def _add_lighten(commands: Any) -> None:
    light = commands.add_parser("lighten", help="begin a light training with compact weights")
    light.add_argument("--stage", choices=STAGES, required=True)
    light.add_argument("--start", type=Path, required=True, help="weights folder")
    light.add_argument("--run", type=Path, required=True, help="the training's folder")
    light.set_defaults(command=_lighten)


def _add_synthetic(commands: Any) -> None:
    bank = commands.add_parser("synthesise", help="draw synthetic scans for a stage")
    bank.add_argument("--stage", choices=STAGES, required=True)
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


def _add_self_label(commands: Any) -> None:
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
    add("--config", default="compact", choices=("compact", "paper"))
    add("--data", type=Path, required=True, help="a folder that the container has worked on")
    add("--answers", type=Path, required=True, help="the container's output for it")
    add("--without", nargs="*", default=(), help="patients held out")
    add("--reject", nargs="*", default=(), metavar="SCAN", help="wrong in the pictures")
    add("--cache", type=Path, required=True, help="prepared cases and pictures to look at")
    centroids.set_defaults(command=_self_annotate)


def _add_cross_validate(commands: Any) -> None:
    crossed = commands.add_parser(
        "cross-validate", help="train and score by folds of patients; continues where stopped"
    )
    add = crossed.add_argument
    add("--data", type=Path, nargs="+", required=True, help="annotated data sets to score")
    for stage in STAGES:
        name = stage.replace("_", "-")
        add(f"--{name}", nargs="+", required=True, metavar="FOLDER[=WEIGHT]", help="its cases")
        add(f"--{name}-steps", type=int, help="instead of the configuration's")
        add(f"--{name}-start", type=Path, help="training without their patients to begin with")
    add("--config", default="compact", choices=("compact", "paper"))
    add("--folds", type=int, default=3)
    add("--fold", type=int, metavar="N", help="train fold N (from 0) only, beside other processes")
    add("--precision", default="mixed_bfloat16", help="Keras policy")
    add("--workers", type=int, default=1)
    add("--output", type=Path, required=True, help="trainings, weights and results of all folds")
    crossed.set_defaults(command=_cross_validate)


def _add_import_published(commands: Any) -> None:
    published = commands.add_parser(
        "import-published", help="make a weights folder from the published VerSe checkpoints"
    )
    add = published.add_argument
    add("--year", type=int, choices=(2019, 2020), required=True)
    add("--checkpoint", type=Path, required=True, help="published folder verseYEAR/docker/models")
    add("--output", type=Path, required=True, help="weights folder to make or to replace")
    published.set_defaults(command=_import_published)


def _phantom(arguments: argparse.Namespace) -> int:
    from verse_train.synthetic.sample import SEED, write_sample

    seed = SEED if arguments.seed is None else arguments.seed
    logger.info("sample written: %s", write_sample(arguments.output, seed))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from verse_train.check import compare, summary
    from verse_train.check_pictures import write_pictures

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


def _prepare(arguments: argparse.Namespace) -> int:
    from verse_train.datasets import find_scans, with_masks
    from verse_train.preparation import prepare_scan

    spacing, smoothing, whole = _preparation(arguments)
    scans = [scan for root in arguments.data for scan in find_scans(root)]
    for scan in with_masks(scans) if arguments.stage == STAGES[2] else scans:
        path = prepare_scan(scan, spacing, smoothing, arguments.cache, whole=whole)
        logger.info("%s: %s", scan.name, path)
    return 0


def _preparation(arguments: argparse.Namespace) -> tuple[float, float, bool]:
    """Spacing and smoothing, mm, of the cases of a stage; and whether they keep the whole width."""
    from verse_train.config import CONFIGS

    config = CONFIGS[arguments.config][arguments.stage]
    if arguments.stage == STAGES[0]:
        # Samples come from twice the resolution, so that rotations do not blur them.
        return config.spacing_mm / 2, 2 * config.smoothing_mm, True
    return config.spacing_mm, config.smoothing_mm, False


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


def _self_label(arguments: argparse.Namespace) -> int:
    from verse_infer.anatomy import VERTEBRAE, label_of
    from verse_infer.networks import load_networks
    from verse_train.datasets import find_scans
    from verse_train.self_labels import self_label

    rejected: dict[str, set[int]] = {}
    for entry in arguments.reject:
        scan_name, _, vertebra = entry.rpartition(":")
        if vertebra not in VERTEBRAE:
            raise UsageError(f"--reject {entry}: expected SCAN:VERTEBRA, such as sub1:L4")
        rejected.setdefault(scan_name, set()).add(label_of(vertebra))
    network = load_networks(arguments.weights)[STAGES[2]]
    for root in arguments.data:
        for scan in find_scans(root):
            if scan.patient not in arguments.without:
                wrong = rejected.get(scan.name, set())
                logger.info("%s: %s", scan.name, self_label(scan, network, arguments.cache, wrong))
    return 0


def _self_annotate(arguments: argparse.Namespace) -> int:
    from verse_train.self_centroids import answered_scans, self_annotate

    spacing, smoothing, whole = _preparation(arguments)
    scans = answered_scans(arguments.data, arguments.answers)
    if unknown := set(arguments.reject) - {scan.name for scan in scans}:
        raise UsageError(f"--reject {' '.join(sorted(unknown))}: expected names of answered scans")
    held = {scan.name for scan in scans if scan.patient in arguments.without}
    left_out = held | set(arguments.reject)
    kept = self_annotate(scans, spacing, smoothing, arguments.cache, whole=whole, left_out=left_out)
    logger.info("%d of %d scans kept; pictures in %s", len(kept), len(scans), arguments.cache)
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from verse_train.config import CONFIGS
    from verse_train.feed import CaseGroup, case_group, held_group
    from verse_train.training import RunSettings, train

    config = CONFIGS[arguments.config][arguments.stage]
    if arguments.steps is not None:
        config = replace(config, steps=arguments.steps)
    if arguments.rate is not None:
        config = replace(config, rate=arguments.rate)
    groups: list[CaseGroup] = []
    held: list[CaseGroup] = []
    for folder, weight in _weighted(arguments.cases):
        groups.append(case_group(folder, weight, arguments.without))
        held.extend(held_group(folder, weight, arguments.without))
    settings = RunSettings(
        arguments.run,
        arguments.seed,
        precision=arguments.precision,
        workers=arguments.workers,
        start=arguments.start,
    )
    train(config, groups, settings, held)
    return 0


def _lighten(arguments: argparse.Namespace) -> int:
    from verse_train.config import CONFIGS
    from verse_train.lightening import lighten

    lighten(arguments.start, CONFIGS["compact"][arguments.stage], arguments.run)
    return 0


def _weighted(entries: Sequence[str]) -> list[tuple[Path, float]]:
    """FOLDER or FOLDER=WEIGHT, each."""
    parts = [entry.partition("=") for entry in entries]
    return [(Path(folder), float(weight or 1)) for folder, _, weight in parts]


def _cross_validate(arguments: argparse.Namespace) -> int:
    from verse_train.check import summary
    from verse_train.cross_validation import Plan, cross_validate, train_fold

    steps = {stage: getattr(arguments, f"{stage}_steps") for stage in STAGES}
    starts = {stage: getattr(arguments, f"{stage}_start") for stage in STAGES}
    plan = Plan(
        tuple(arguments.data),
        {stage: _weighted(getattr(arguments, stage)) for stage in STAGES},
        arguments.config,
        arguments.output,
        arguments.folds,
        {stage: count for stage, count in steps.items() if count},
        {stage: folder for stage, folder in starts.items() if folder},
        arguments.precision,
        arguments.workers,
    )
    if arguments.fold is None:
        logger.info("cross-validated\n%s", summary(cross_validate(plan)))
    else:
        logger.info("fold trained: %s", train_fold(plan, arguments.fold))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from verse_train.config import CONFIGS
    from verse_train.export import StageExport, export_weights
    from verse_train.model_card import model_card
    from verse_train.training import networks_to_export
    from verse_train.weights_entries import stage_entry

    sources = {stage: getattr(arguments, stage) for stage in STAGES}
    facts = _facts(arguments.facts) if arguments.facts else {}
    if arguments.card:
        card = read_text(arguments.card)
    else:
        card = model_card(arguments.name, arguments.config, sources, facts)
    stages = {}
    for stage, folders in sources.items():
        entry, answer = stage_entry(arguments.config, stage)
        config = CONFIGS[arguments.config][stage]
        networks = [each for folder in folders for each in networks_to_export(folder, config)]
        stages[stage] = StageExport(networks, entry, answer)
    export_weights(arguments.output, arguments.name, stages, facts, card)
    logger.info("weights written: %s", arguments.output)
    return 0


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = read_json(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--facts {path}: expected JSON: {error}") from error
    if not isinstance(facts, dict):
        raise UsageError(f"--facts {path}: expected a JSON object, got {type(facts).__name__}")
    return facts


def _import_published(arguments: argparse.Namespace) -> int:
    from verse_train.published.importing import import_published

    import_published(arguments.year, arguments.checkpoint, arguments.output)
    logger.info("weights written: %s", arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
