"""Folds of patients, and a whole cross-validation of tiny networks on small scans."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.training_cases import LEAST, ball_case
from tests.helpers.trainings import log_of
from verse_infer.errors import InputError, UsageError
from verse_infer.weights import BUNDLED_WEIGHTS, STAGES
from verse_train import cross_validation
from verse_train.config import CONFIGS
from verse_train.cross_validation import Plan, cross_validate, folds_of, train_fold
from verse_train.data.datasets import AnnotatedScan
from verse_train.data.prepared import save_prepared
from verse_train.networks.architectures import build_network
from verse_train.sizes import Size
from verse_train.training.run import CHECKPOINT, PATIENTS


def scan(folder, name, vertebrae):
    path = folder / f"{name}.json"
    entries = [{"label": n + 1, "X": 0, "Y": 0, "Z": 0} for n in range(vertebrae)]
    path.write_text(json.dumps([{"direction": ["L", "P", "S"]}, *entries]))
    return AnnotatedScan(name, Path("ct.nii.gz"), path, "verse")


def test_folds_are_by_patient_and_share_the_vertebrae(tmp_path):
    counts = {"a1a": 9, "a1b": 8, "b2": 12, "c3": 11, "d4": 5, "e5": 4, "f6": 3}
    scans = [scan(tmp_path, name, count) for name, count in counts.items()]
    # a1: 17 vertebrae; b2: 12; c3: 11, then 5 to c3 (16), 4 to b2 (16), 3 to b2 or c3.
    assert folds_of(scans, 3) == [("a1",), ("b2", "e5", "f6"), ("c3", "d4")]
    assert folds_of(scans[::-1], 3) == folds_of(scans, 3)


def test_names_of_one_patient_stay_together(tmp_path):
    counts = {"head": 4, "pelvis": 2, "b": 5, "c": 5}
    scans = [scan(tmp_path, name, count) for name, count in counts.items()]
    folds = folds_of(scans, 3, [("head", "pelvis")])
    assert ("head", "pelvis") in folds
    assert sorted(name for fold in folds for name in fold) == sorted(counts)


def test_stages_without_cases_are_taken_over_as_they_are(plan, monkeypatch):
    """Their weights' folder is the bundled one; nothing of stages 1 to 3 is trained."""
    monkeypatch.setattr(cross_validation, "train", None)
    written = {}

    def write(_folder, _name, stages, _facts):
        written.update({stage: export.networks for stage, export in stages.items()})

    monkeypatch.setattr(cross_validation, "export_weights", write)
    train_fold(replace(plan, cases={}, weights=BUNDLED_WEIGHTS), 0)
    assert list(written) == list(STAGES)
    assert all(
        taken.weights == BUNDLED_WEIGHTS for networks in written.values() for taken in networks
    )
    with pytest.raises(UsageError, match="expected cases to train on, or weights"):
        train_fold(replace(plan, cases={}), 1)


def test_more_folds_than_patients_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected at least 3 patients, found 2"):
        folds_of([scan(tmp_path, name, 2) for name in ("p1", "q1")], 3)


@pytest.fixture
def plan(tmp_path, monkeypatch, in_process):
    del in_process
    for stage, config in CONFIGS["compact"].items():
        crops = {"crop_offset_mm": (0.0, 0.0, 0.0), "small_crops": ()}
        small = replace(config, size=LEAST, sample_size=(16, 16, 16), **crops)
        monkeypatch.setitem(CONFIGS["compact"], stage, small)
    names = ("one", "two", "three")
    for stage in STAGES:
        for name in names:
            case = ball_case(("L1", "L2"), 8.0, (12, 12, 14), radius=14.0, name=name)
            if stage == "vertebra_segmentation":
                case = replace(case, patient="another")
            save_prepared(tmp_path / stage / f"{name}.npz", case)
    scans = [scan(tmp_path, name, 2) for name in names]
    monkeypatch.setattr(cross_validation, "find_scans", lambda _: scans)
    return Plan(
        data=(tmp_path,),
        cases={stage: [(tmp_path / stage, 1.0)] for stage in STAGES},
        config=Size.COMPACT,
        folder=tmp_path / "crossed",
        steps=dict.fromkeys(STAGES, 1),
        precision="float32",
    )


def names_of(groups):
    return {path.stem for group in groups for path in group.paths}


def test_every_scan_is_read_by_weights_that_never_saw_its_patient(plan, monkeypatch):
    ran, trained = [], []

    def run(one, weights, output):
        assert (weights / "manifest.json").exists()
        ran.append((one.name, weights.parent.name, output.name))

    original = cross_validation.train

    def train(config, groups, settings, held):
        trained.append((settings.folder, names_of(groups), names_of(held)))
        return original(config, groups, replace(settings, steps_per_epoch=1), held)

    monkeypatch.setattr(cross_validation, "_run", run)
    monkeypatch.setattr(cross_validation, "train", train)
    monkeypatch.setattr(cross_validation, "compare", lambda root, results: [root, results])
    assert cross_validate(plan) == [plan.data[0], plan.folder / "results"]
    assert ran == [
        ("one", "fold0", "fold0"),
        ("three", "fold1", "fold1"),
        ("two", "fold2", "fold2"),
    ]
    for (name, fold, _), rest in zip(
        ran, ({"two", "three"}, {"one", "two"}, {"one", "three"}), strict=True
    ):
        assert name not in rest
        for stage in STAGES[:2]:
            folder = plan.folder / fold / stage
            assert (folder, rest, {name}) in trained
            (row,) = log_of(folder)
            assert float(row["val_loss"]) >= 0
            assert (folder / "pictures" / "epoch-0001.png").exists()
    # Stage 3's cases are of nobody who is scored: one training serves all folds.
    segmentation = plan.folder / "all" / STAGES[2]
    everyone = {"one", "two", "three"}
    assert trained[2::3] == 3 * [(segmentation, everyone, set())]
    assert (segmentation / CHECKPOINT).exists()
    assert log_of(segmentation)[0]["val_loss"] == "NA"
    trained.clear()
    cross_validate(plan)
    assert trained == []  # weights of all folds are there


def test_a_fold_can_be_trained_by_itself(plan, monkeypatch):
    ran = []
    monkeypatch.setattr(cross_validation, "_run", lambda scan, *_: ran.append(scan.name))
    monkeypatch.setattr(cross_validation, "train", lambda c, *_: build_network(c.stage, LEAST))
    weights = train_fold(plan, 1)
    assert (weights / "manifest.json").exists()
    assert weights == plan.folder / "fold1" / "weights"
    assert [path.name for path in plan.folder.glob("fold*/weights")] == ["weights"]
    assert ran == []
    with pytest.raises(UsageError, match="fold 3: expected 0 to 2"):
        train_fold(plan, 3)


def test_a_start_that_saw_a_scored_patient_is_refused(plan, tmp_path):
    seen = tmp_path / "seen"
    seen.mkdir()
    (seen / PATIENTS).write_text('["another", "two"]')
    with pytest.raises(UsageError, match=r"seen: has been trained on two, who are to be scored"):
        cross_validate(replace(plan, start={STAGES[1]: seen}))


def test_every_fold_begins_with_the_start(plan, tmp_path, monkeypatch):
    begun = []
    start = tmp_path / "start"
    start.mkdir()
    (start / PATIENTS).write_text('["another"]')

    def train(config, _groups, settings, _held):
        begun.append((config.stage, settings.start))
        return build_network(config.stage, config.size)

    monkeypatch.setattr(cross_validation, "_run", lambda *_: None)
    monkeypatch.setattr(cross_validation, "train", train)
    monkeypatch.setattr(cross_validation, "compare", lambda *_: [])
    cross_validate(replace(plan, start={STAGES[1]: start}))
    assert begun == 3 * [(stage, start if stage == STAGES[1] else None) for stage in STAGES]


def test_a_scan_the_container_cannot_read_is_named(tmp_path):
    missing = replace(scan(tmp_path, "p1", 1), ct=tmp_path / "nothing.nii.gz")
    with pytest.raises(InputError, match=r"nothing.nii.gz: the container ended with exit code 2"):
        cross_validation._run(missing, tmp_path / "weights", tmp_path / "out")
