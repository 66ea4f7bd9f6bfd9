"""How the published checkpoints of each year are filed and how their variables are named."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import keras

from verse_infer.weights import STAGES, Stage
from verse_train.published.u_net import Shape, convolutions

Year = Literal[2019, 2020]
YEARS: tuple[Year, ...] = (2019, 2020)

#: The published name of each stage.
_NAMES: Mapping[Stage, str] = MappingProxyType(
    dict(
        zip(
            STAGES,
            ("spine_localization", "vertebrae_localization", "vertebrae_segmentation"),
            strict=True,
        )
    )
)


@dataclass(frozen=True, slots=True)
class Layout:
    """One year's form of checkpoint.

    file_name: path of a stage's checkpoint below the models folder, without ".index".
    suffix: what follows "<layer>/kernel" and "<layer>/bias" in a variable's name.
    ignored: names of variables that the networks do not use: optimiser and its slots, counters,
        and the learned widths of the target heatmaps.
    """

    file_name: str
    suffix: str
    ignored: re.Pattern[str]

    def prefix(self, folder: Path, stage: Stage) -> Path:
        """Where a stage's checkpoint lies below a models folder."""
        return folder / self.file_name.format(stage=_NAMES[stage])

    def variables(self, network: keras.Model) -> dict[str, Shape]:
        """Name in the checkpoint, and shape, of every variable of a network."""
        return {
            self.name(path, kind): tuple(int(n) for n in getattr(layer, kind).shape)
            for path, layer in convolutions(network).items()
            for kind in ("kernel", "bias")
        }

    def name(self, path: str, kind: str) -> str:
        """Name of a layer's variable; kind: "kernel" or "bias"."""
        return f"{path}/{kind}{self.suffix}"


LAYOUTS: Mapping[Year, Layout] = MappingProxyType(
    {
        2019: Layout(
            "{stage}/model",
            "",
            re.compile(r".*/(Adam|Adam_1|Momentum)|Variable|beta[12]_power|sigmas"),
        ),
        2020: Layout(
            "{stage}",
            "/.ATTRIBUTES/VARIABLE_VALUE",
            re.compile(
                r"_CHECKPOINTABLE_OBJECT_GRAPH|optimizer/.*|.*/\.OPTIMIZER_SLOT/.*"
                r"|(save_counter|sigmas)/\.ATTRIBUTES/VARIABLE_VALUE"
            ),
        ),
    }
)
