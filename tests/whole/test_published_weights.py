"""The command on a real CT with imported weights of the published size, their values random."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.published_models import answering_everywhere, write_models
from verse_train.cli import main

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ct"
CASE = "sub-tsexample"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data/ct"),
]


@pytest.mark.parametrize(("year", "filters"), [(2019, 64), (2020, 96)])
def test_a_real_ct_goes_through_every_stage(run_command, tmp_path, year, filters):
    models = write_models(tmp_path / "models", year, filters, answering_everywhere)
    weights, output = tmp_path / "weights", tmp_path / "output"
    arguments = ["--year", year, "--checkpoint", models, "--output", weights]
    assert main(["import-published", *map(str, arguments)]) == 0
    process = run_command(
        "--input", DATA / "rawdata" / CASE, "--output", output, "--weights", weights
    )
    assert process.returncode == 0, process.stderr
    (case,) = json.loads((output / "run.json").read_text())["cases"]
    assert case["status"] == "succeeded"
    assert len(case["seconds"]) >= 3, case
    mask = np.asarray(nib.load(output / f"{CASE}_seg-vert_msk.nii.gz").dataobj)
    entries = json.loads((output / f"{CASE}_seg-subreg_ctd.json").read_text())[1:]
    assert len(entries) >= 2
    assert set(np.unique(mask)) - {0} <= {entry["label"] for entry in entries}
    assert mask.any()
