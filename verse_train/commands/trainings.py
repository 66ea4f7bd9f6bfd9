"""Trainings and cross-validation."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from verse_infer.weights import ALL_STAGES, IDENTIFICATION
from verse_train.sizes import Size

logger = logging.getLogger(__name__)


def add_to(commands: Any) -> None:
    """train, cross-validate."""
    train = commands.add_parser("train", help="train one stage; continues where it was stopped")
    train.add_argument("--stage", choices=ALL_STAGES, required=True)
    train.add_argument("--config", default=Size.COMPACT, choices=tuple(Size))
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
    _add_cross_validate(commands)


def _add_cross_validate(commands: Any) -> None:
    crossed = commands.add_parser(
        "cross-validate", help="train and score by folds of patients; continues where stopped"
    )
    add = crossed.add_argument
    add("--data", type=Path, nargs="+", required=True, help="annotated data sets to score")
    for stage in ALL_STAGES:
        name = stage.replace("_", "-")
        add(f"--{name}", nargs="+", default=(), metavar="FOLDER[=WEIGHT]", help="its cases")
        add(f"--{name}-steps", type=int, help="instead of the configuration's")
        add(f"--{name}-start", type=Path, help="training without their patients to begin with")
    add("--config", default=Size.COMPACT, choices=tuple(Size))
    add("--weights", type=Path, help="weights of the stages that no cases are given for")
    add("--together", nargs="+", default=(), metavar="NAME,NAME", help="names of one patient")
    add("--folds", type=int, default=3)
    add("--fold", type=int, metavar="N", help="train fold N (from 0) only, beside other processes")
    add("--precision", default="mixed_bfloat16", help="Keras policy")
    add("--workers", type=int, default=1)
    add("--output", type=Path, required=True, help="trainings, weights and results of all folds")
    crossed.set_defaults(command=_cross_validate)


def _train(arguments: argparse.Namespace) -> int:
    from verse_train.config import CONFIGS
    from verse_train.data.feed import CaseGroup, case_group, held_group
    from verse_train.identification.training import IdentificationTraining, train_identification
    from verse_train.training.run import RunSettings, train

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
    stated = {"steps": arguments.steps, "rate": arguments.rate}
    changes = {name: value for name, value in stated.items() if value is not None}
    if arguments.stage == IDENTIFICATION:
        train_identification(replace(IdentificationTraining(), **changes), groups, settings, held)
    else:
        config = replace(CONFIGS[arguments.config][arguments.stage], **changes)
        train(config, groups, settings, held)
    return 0


def _weighted(entries: Sequence[str]) -> list[tuple[Path, float]]:
    """FOLDER or FOLDER=WEIGHT, each."""
    parts = [entry.partition("=") for entry in entries]
    return [(Path(folder), float(weight or 1)) for folder, _, weight in parts]


def _cross_validate(arguments: argparse.Namespace) -> int:
    from verse_train.check import summary
    from verse_train.cross_validation import Plan, cross_validate, train_fold

    steps = {stage: getattr(arguments, f"{stage}_steps") for stage in ALL_STAGES}
    starts = {stage: getattr(arguments, f"{stage}_start") for stage in ALL_STAGES}
    cases = {stage: _weighted(getattr(arguments, stage)) for stage in ALL_STAGES}
    plan = Plan(
        data=tuple(arguments.data),
        cases={stage: folders for stage, folders in cases.items() if folders},
        config=arguments.config,
        folder=arguments.output,
        folds=arguments.folds,
        steps={stage: count for stage, count in steps.items() if count},
        start={stage: folder for stage, folder in starts.items() if folder},
        weights=arguments.weights,
        together=tuple(tuple(names.split(",")) for names in arguments.together),
        precision=arguments.precision,
        workers=arguments.workers,
    )
    if arguments.fold is None:
        logger.info("cross-validated\n%s", summary(cross_validate(plan)))
    else:
        logger.info("fold trained: %s", train_fold(plan, arguments.fold))
    return 0
