"""A model card of what is known of an export; what only its author can know is marked."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py

from verse_infer.errors import UsageError
from verse_infer.weights import MANIFEST_NAME, STAGES, Stage, read_manifest
from verse_train.training.run import CHECKPOINT, PATIENTS, trained_patients

#: What a card must say and no training records, as headings, each with what belongs below it.
_OPEN = {
    "Licences": "of the training data, and of these weights",
    "Scores": "on scans of patients that no network saw, and how they were measured",
    "Limits": "for what scans these weights were not made, and what goes wrong in those",
}


def model_card(
    name: str, config: str, sources: Mapping[Stage, Sequence[Path]], facts: Mapping[str, Any]
) -> str:
    """The card in Markdown.

    name, facts: as in the manifest. config: name of the trainings' configuration. sources: by
    stage, the training folders or weights folders that its networks come from; UsageError if one
    is neither.
    """
    lines = [f"# Model card: {name}", "", f"Date: {facts.get('date') or _open('date')}"]
    lines += ["", "## Networks", "", f"Configuration `{config}`.", ""]
    for stage in STAGES:
        lines += [f"- {stage}: {_origin(source)}" for source in sources[stage]]
    if facts:
        lines += ["", "## Facts", "", *(f"- {key}: {_text(facts[key])}" for key in facts)]
    for heading, content in _OPEN.items():
        lines += ["", f"## {heading}", "", _open(content)]
    return "\n".join([*lines, ""])


def _open(content: str) -> str:
    return f"**To be filled in: {content}**"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _origin(source: Path) -> str:
    """How far the training of a folder went and whom it saw; or whose weights these are."""
    if (source / MANIFEST_NAME).exists():
        return f"taken over from the weights {read_manifest(source).name}; see their model card"
    trained = f"trained for {steps_done(source)} steps"
    if not (source / PATIENTS).exists():
        return f"{trained}; patients not recorded"
    patients = sorted(trained_patients(source))
    return f"{trained}; patients ({len(patients)}): {', '.join(patients)}"


def steps_done(folder: Path) -> int:
    """Steps of the optimiser in a training's last checkpoint, of its starts too.

    UsageError if the folder has no checkpoint of a training.
    """
    try:
        with (
            zipfile.ZipFile(folder / CHECKPOINT) as archive,
            archive.open("model.weights.h5") as file,
            h5py.File(file) as weights,
        ):
            return int(weights["optimizer/vars/0"][()])
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{folder}: expected a training's folder with {CHECKPOINT}") from error
