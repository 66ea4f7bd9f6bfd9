"""Networks of the papers' size with random weights: as good as trained ones for telling the time."""

import sys
from pathlib import Path

import keras

from verse_infer.weights import MANIFEST_NAME, STAGES, Stage
from verse_train.export.entries import stage_entry
from verse_train.export.weights_folder import StageExport, export_weights
from verse_train.networks.architectures import build_network
from verse_train.sizes import SIZES, Size


def make_paper_weights(folder: Path) -> Path:
    """A weights folder; made unless it is there."""
    if not (folder / MANIFEST_NAME).is_file():
        keras.utils.set_random_seed(1)
        stages = {stage: _export(stage) for stage in STAGES}
        facts = {"training": "none: random weights, for measuring time"}
        export_weights(folder, "paper-size, random", stages, facts)
    return folder


def _export(stage: Stage) -> StageExport:
    entry, answer = stage_entry(Size.PAPER, stage)
    return StageExport([build_network(stage, SIZES[Size.PAPER])], entry, answer)


if __name__ == "__main__":
    make_paper_weights(Path(sys.argv[1]))
