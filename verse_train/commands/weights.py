"""Weights folders."""

import argparse
import logging
from pathlib import Path
from typing import Any

from verse_infer.errors import UsageError
from verse_infer.texts import read_json, read_text
from verse_infer.weights import IDENTIFICATION, STAGES
from verse_train.sizes import Size

logger = logging.getLogger(__name__)


def add_to(commands: Any) -> None:
    """export, import-published."""
    export = commands.add_parser("export", help="make a weights folder from finished trainings")
    for stage in STAGES:
        option = "--" + stage.replace("_", "-")
        sources = "training folders, or weights to take over"
        export.add_argument(option, type=Path, nargs="+", required=True, help=sources)
    option = "--" + IDENTIFICATION.replace("_", "-")
    export.add_argument(option, type=Path, nargs="+", default=(), help="none: names by heatmaps")
    export.add_argument("--config", default=Size.COMPACT, choices=tuple(Size))
    export.add_argument("--name", required=True)
    export.add_argument("--facts", type=Path, help="JSON with training data, date, scores")
    export.add_argument("--card", type=Path, help="model card; without, one of what is known")
    export.add_argument("--output", type=Path, required=True)
    export.set_defaults(command=_export)
    published = commands.add_parser(
        "import-published", help="make a weights folder from the published VerSe checkpoints"
    )
    add = published.add_argument
    add("--year", type=int, choices=(2019, 2020), required=True)
    add("--checkpoint", type=Path, required=True, help="published folder verseYEAR/docker/models")
    add("--output", type=Path, required=True, help="weights folder to make or to replace")
    published.set_defaults(command=_import_published)


def _export(arguments: argparse.Namespace) -> int:
    from verse_train.config import CONFIGS
    from verse_train.export.entries import identification_entry, stage_entry
    from verse_train.export.model_card import model_card
    from verse_train.export.weights_folder import (
        StageExport,
        export_weights,
        identification_networks,
        networks_to_export,
    )

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
        stages[stage] = StageExport(networks, entry, answer, config.size)
    if arguments.vertebra_identification:
        networks = [
            each
            for folder in arguments.vertebra_identification
            for each in identification_networks(folder)
        ]
        stages[IDENTIFICATION] = StageExport(networks, identification_entry())
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
