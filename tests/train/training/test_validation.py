"""What a training writes beside its checkpoint."""

import struct

import numpy as np
import pytest
from PIL import Image

from tests.helpers.training_cases import LEAST, ball_case
from tests.helpers.trainings import config_of, log_of, settings
from verse_infer.errors import InputError
from verse_infer.weights import STAGES
from verse_train.data.feed import CaseGroup
from verse_train.data.prepared import save_prepared
from verse_train.training import run as training
from verse_train.training.run import LOG, train


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("stage", STAGES)
def test_held_out_cases_give_a_loss_and_pictures(tmp_path, groups, stage, monkeypatch):
    monkeypatch.setattr(training, "HELD_SAMPLES", 2)
    config = config_of(stage, 6, LEAST)
    train(config, groups, settings(tmp_path), held=groups)
    losses = [float(row["val_loss"]) for row in log_of(tmp_path)]
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["epoch-0003.png"]
    with Image.open(tmp_path / "pictures" / "epoch-0003.png") as picture:
        assert picture.width > 6 * 16


@pytest.mark.usefixtures("in_process")
def test_validation_does_not_change_the_training(tmp_path, groups):
    config = config_of("spine_localisation", 4, LEAST)
    plain, held = (
        train(config, groups, settings(tmp_path / name), held=kept)
        for name, kept in (("plain", ()), ("held", groups))
    )
    for one, other in zip(plain.get_weights(), held.get_weights(), strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    losses = [[float(row["loss"]) for row in log_of(tmp_path / n)] for n in ("plain", "held")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.usefixtures("in_process")
def test_the_log_says_which_share_of_the_time_training_waited(tmp_path, groups):
    train(config_of("spine_localisation", 4, LEAST), groups, settings(tmp_path))
    assert all(0 <= float(row["waiting_share"]) <= 1 for row in log_of(tmp_path))


@pytest.mark.usefixtures("in_process")
def test_tensorboard_finds_the_figures_of_each_epoch(tmp_path, groups):
    train(config_of("spine_localisation", 4, LEAST), groups, settings(tmp_path))
    files = list((tmp_path / "tensorboard").iterdir())
    assert all(path.name.startswith("events.out.tfevents") for path in files)
    written = b"".join(path.read_bytes() for path in files)
    for row in log_of(tmp_path):
        assert struct.pack("<f", float(row["loss"])) in written
    assert b"loss" in written


@pytest.mark.usefixtures("in_process")
def test_the_first_samples_are_drawn_and_foreign_annotations_stop_a_training(tmp_path):
    case = ball_case(("L1", "L2"), 8.0, (12, 12, 14), radius=14.0)
    save_prepared(
        tmp_path / "dark.npz",
        type(case)(
            case.name,
            case.patient,
            -case.hu // 8,
            case.mask,
            case.centroids,
            case.cut,
            case.lattice,
        ),
    )
    run = settings(tmp_path / "run")
    with pytest.raises(InputError, match="do the annotations fit the scans"):
        train(
            config_of("vertebra_segmentation", 4, LEAST),
            [CaseGroup((tmp_path / "dark.npz",), 1.0)],
            run,
        )
    with Image.open(run.folder / "samples.png") as picture:
        assert picture.height > 3 * 16
    assert not (run.folder / LOG).exists()
