"""From a folder of published checkpoints to a weights folder that the container loads."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras

from verse_infer.errors import UsageError
from verse_infer.weights import MANIFEST_NAME, STAGES, Stage
from verse_train.export.weights_folder import StageExport, export_weights
from verse_train.published.checkpoint import read_variables
from verse_train.published.entries import stage_entry
from verse_train.published.layouts import LAYOUTS, Layout, Year
from verse_train.published.networks_2019 import build_2019
from verse_train.published.networks_2020 import ASSUMED, build_2020
from verse_train.published.u_net import convolutions

logger = logging.getLogger(__name__)
Builder = Callable[[Stage], keras.Model]
REPOSITORY = "https://github.com/christianpayer/MedicalDataAugmentationTool-VerSe"

_BUILDERS: Mapping[Year, Builder] = MappingProxyType({2019: build_2019, 2020: build_2020})

#: For people who read the manifest. Scores: Sekuboyina et al., Medical Image Analysis 2021, and
#: Payer et al., VISAPP 2020; of the authors' own runs, not of this container's.
_FACTS: Mapping[Year, Mapping[str, Any]] = MappingProxyType(
    {
        2019: {
            "training_data": "80 scans of VerSe 2019",
            "published_scores": {
                "VerSe 2019 public": {"id_rate": 95.65, "d_mean_mm": 4.27, "dice": 0.909},
                "VerSe 2019 hidden": {"id_rate": 94.25, "d_mean_mm": 4.80, "dice": 0.898},
            },
        },
        2020: {
            "training_data": "the training scans of VerSe 2020",
            "published_scores": {
                "VerSe 2020 public": {"id_rate": 95.06, "d_mean_mm": 2.90, "dice": 0.9165},
                "VerSe 2020 hidden": {"id_rate": 92.82, "d_mean_mm": 2.91, "dice": 0.8971},
            },
            "assumed": dict(ASSUMED),
        },
    }
)


def import_published(
    year: Year, checkpoint: Path, output: Path, build: Builder | None = None
) -> None:
    """Read the three checkpoints of a year and write SavedModels and manifest.json.

    checkpoint: the published models folder. output: a new, an empty or an earlier weights folder;
    replaced as a whole, or left as it was. build: makes each stage's network; the year's own if
    None. Raises WeightsError (a checkpoint is missing, damaged or does not fit) and UsageError.
    """
    if not checkpoint.is_dir():
        raise UsageError(f"--checkpoint {checkpoint}: expected a folder of checkpoints, found none")
    _check_output(output)
    layout, builder = LAYOUTS[year], build or _BUILDERS[year]
    stages = {}
    for stage in STAGES:
        network = load_stage(layout, layout.prefix(checkpoint, stage), builder(stage))
        stages[stage] = StageExport([network], *stage_entry(year, stage))
        logger.info("%s: %d convolutions read", stage, len(convolutions(network)))
    for subject, choice in ASSUMED.items() if year == 2020 else ():
        logger.info("not stated by the checkpoints of 2020: %s: taken %s", subject, choice)
    export_weights(output, f"published-{year}", stages, _facts(year))


def load_stage(layout: Layout, prefix: Path, network: keras.Model) -> keras.Model:
    """The network with the values of a checkpoint; WeightsError if they do not fit each other."""
    values = read_variables(prefix, layout.variables(network), layout.ignored)
    for path, layer in convolutions(network).items():
        layer.set_weights([values[layout.name(path, kind)] for kind in ("kernel", "bias")])
    return network


def _check_output(output: Path) -> None:
    """Nothing but a weights folder is ever replaced."""
    if not output.exists() or (output / MANIFEST_NAME).is_file():
        return
    if not output.is_dir() or any(output.iterdir()):
        raise UsageError(
            f"--output {output}: expected a new or empty folder, or one with {MANIFEST_NAME} to "
            "replace; got something else"
        )


def _facts(year: Year) -> dict[str, Any]:
    return {
        "source": f"{REPOSITORY}, folder verse{year}/docker/models, imported by verse_train",
        "licence": "the repository's: GPL-3.0",
        "authors": "Christian Payer, Darko Štern, Horst Bischof, Martin Urschler",
        **_FACTS[year],
    }
