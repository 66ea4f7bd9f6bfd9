import copy
import json

import pytest

from verse_infer.anatomy import LABELS
from verse_infer.errors import WeightsError
from verse_infer.weights import MANIFEST_NAME, STAGES, folder_checksum, read_manifest

ENTRY = {
    "models": [{"folder": "m", "sha256": "0"}],
    "spacing_mm": 2.0,
    "input_size": [96, 96, 128],
    "smoothing_mm": 0.75,
    "intensity_divisor": 2048.0,
    "threshold": 0.5,
    "labels": [0],
}
OPTIONS = {
    "spine_localisation": {"z_margin_mm": 48.0},
    "vertebra_localisation": {"tile_overlap": 64, "min_distance": 3},
    "vertebra_segmentation": {"centroid_sigma": 3.0},
}
LOCALISATION = "vertebra_localisation"


def good():
    stages = {stage: {**copy.deepcopy(ENTRY), "options": OPTIONS[stage]} for stage in STAGES}
    stages[LOCALISATION]["labels"] = list(LABELS)
    return copy.deepcopy(
        {"schema_version": 1, "name": "n", "stages": stages, "facts": {"date": "2026"}}
    )


def read(folder, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / MANIFEST_NAME).write_text(text)
    return read_manifest(folder)


def test_a_manifest_says_what_belongs_to_each_stage(tmp_path):
    manifest = read(tmp_path, good())
    assert manifest.name == "n"
    assert manifest.facts == {"date": "2026"}
    stage = manifest.stages[LOCALISATION]
    assert (stage.models[0].folder, stage.models[0].sha256) == ("m", "0")
    assert (stage.spacing_mm, stage.smoothing_mm, stage.threshold) == (2.0, 0.75, 0.5)
    assert stage.input_size == (96, 96, 128)
    assert stage.labels == LABELS
    assert stage.options == OPTIONS[LOCALISATION]
    assert manifest.stages["spine_localisation"].labels == (0,)


def test_facts_may_be_missing_and_unknown_entries_are_left_alone(tmp_path):
    content = good()
    del content["facts"]
    content["stages"][LOCALISATION]["comment"] = "mine"
    content["stages"][LOCALISATION]["options"]["extra"] = 1
    assert read(tmp_path, content).facts == {}


def test_a_network_of_fewer_vertebrae_is_allowed(tmp_path):
    content = good()
    content["stages"][LOCALISATION]["labels"] = list(range(1, 26))
    assert read(tmp_path, content).stages[LOCALISATION].labels == tuple(range(1, 26))


def test_a_folder_without_a_manifest(tmp_path):
    with pytest.raises(WeightsError, match=r"no such file; expected a folder with manifest\.json"):
        read_manifest(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "no json", '{"a": 1,}'])
def test_what_is_no_json(tmp_path, text):
    with pytest.raises(WeightsError, match="cannot be read as JSON"):
        read(tmp_path, text)


def test_what_is_no_text(tmp_path):
    (tmp_path / MANIFEST_NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WeightsError, match="cannot be read as JSON"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [[], 3, None, "text", {}, {"schema_version": 2}])
def test_another_schema(tmp_path, content):
    with pytest.raises(WeightsError, match="expected schema_version 1, got"):
        read(tmp_path, json.dumps(content))


@pytest.mark.parametrize("key", ["name", "stages"])
def test_a_missing_entry_is_named(tmp_path, key):
    content = good()
    del content[key]
    with pytest.raises(WeightsError, match=key):
        read(tmp_path, content)


@pytest.mark.parametrize("stage", STAGES)
def test_a_missing_stage_is_named(tmp_path, stage):
    content = good()
    del content["stages"][stage]
    with pytest.raises(WeightsError, match=stage):
        read(tmp_path, content)


@pytest.mark.parametrize("key", ENTRY)
def test_a_missing_entry_of_a_stage_is_named(tmp_path, key):
    content = good()
    del content["stages"][LOCALISATION][key]
    with pytest.raises(WeightsError, match=key):
        read(tmp_path, content)


@pytest.mark.parametrize(("stage", "key"), [(s, k) for s in STAGES for k in OPTIONS[s]])
def test_a_missing_option_that_the_stage_needs_is_named(tmp_path, stage, key):
    content = good()
    del content["stages"][stage]["options"][key]
    with pytest.raises(WeightsError, match=f"{stage}: expected the options .*{key}"):
        read(tmp_path, content)


def test_a_spine_that_runs_along_the_whole_scan_needs_no_margin(tmp_path):
    content = good()
    content["stages"]["spine_localisation"]["options"] = {"whole_scan": True}
    assert read(tmp_path, content)
    content["stages"]["vertebra_segmentation"]["options"] = {"whole_scan": True}
    with pytest.raises(WeightsError, match="centroid_sigma"):
        read(tmp_path, content)


def test_tiles_are_merged_in_a_known_way(tmp_path):
    content = good()
    content["stages"][LOCALISATION]["options"]["tile_merging"] = "mean"
    assert read(tmp_path, content)
    content["stages"][LOCALISATION]["options"]["tile_merging"] = "sum"
    with pytest.raises(WeightsError, match="tile_merging must be max or mean, got 'sum'"):
        read(tmp_path, content)


@pytest.mark.parametrize("offset", [[0, 18], [0, 18, 130], [0, float("nan"), 0], "abc", 5])
def test_a_crop_must_hold_its_centroid(tmp_path, offset):
    content = good()
    content["stages"]["vertebra_segmentation"]["options"]["crop_offset_mm"] = [0, 18, -4]
    assert read(tmp_path, content)
    content["stages"]["vertebra_segmentation"]["options"]["crop_offset_mm"] = offset
    with pytest.raises(WeightsError, match="entry missing or wrong"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"input_size": [96, 96]}, "three multiples of 16, got"),
        ({"input_size": [96, 96, 100]}, "three multiples of 16, got"),
        ({"input_size": [96, 96, 0]}, "three multiples of 16, got"),
        ({"input_size": [96, 96, -16]}, "three multiples of 16, got"),
        ({"input_size": 96}, "not iterable"),
        ({"input_size": [96, 96, float("inf")]}, "infinity"),
        ({"labels": []}, "labels must be distinct and of"),
        ({"labels": [1, 1, 2]}, "labels must be distinct and of"),
        ({"labels": [1, 26]}, "labels must be distinct and of"),
        ({"labels": [0]}, "labels must be distinct and of"),
        ({"models": []}, "at least one model is needed"),
        ({"models": [{"folder": "m"}]}, "sha256"),
        ({"models": ["m"]}, "indices must be"),
        ({"spacing_mm": "wide"}, "could not convert"),
        ({"spacing_mm": None}, "NoneType"),
        ({"spacing_mm": 0}, "spacing_mm must be a finite number of at least 0.001, got 0"),
        ({"spacing_mm": -2.0}, "spacing_mm must be a finite number of at least 0.001, got -2"),
        (
            {"spacing_mm": float("nan")},
            "spacing_mm must be a finite number of at least 0.001, got nan",
        ),
        (
            {"intensity_divisor": 0},
            "intensity_divisor must be a finite number of at least 0.001, got 0",
        ),
        ({"threshold": float("nan")}, "threshold must be a finite number of at least 0.0, got nan"),
        ({"smoothing_mm": -1}, "smoothing_mm must be a finite number of at least 0.0, got -1"),
        (
            {"smoothing_mm": float("inf")},
            "smoothing_mm must be a finite number of at least 0.0, got inf",
        ),
        ({"options": 3}, "not iterable"),
    ],
)
def test_a_wrong_entry_is_said_with_what_was_expected(tmp_path, change, expected):
    content = good()
    content["stages"][LOCALISATION].update(change)
    with pytest.raises(WeightsError, match=expected) as error:
        read(tmp_path, content)
    assert MANIFEST_NAME in str(error.value)


@pytest.mark.parametrize("stages", [[], 3, {stage: [] for stage in STAGES}, "text"])
def test_stages_of_another_type(tmp_path, stages):
    with pytest.raises(WeightsError, match="entry missing or wrong"):
        read(tmp_path, {**good(), "stages": stages})


@pytest.mark.parametrize("facts", [3, [1], "text"])
def test_facts_of_another_type(tmp_path, facts):
    with pytest.raises(WeightsError, match="entry missing or wrong"):
        read(tmp_path, {**good(), "facts": facts})


def files_in(folder, contents):
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_the_checksum_is_of_names_and_contents_not_of_the_place(tmp_path):
    contents = {"a": b"1", "deep/b": b"2"}
    one = folder_checksum(files_in(tmp_path / "one", contents))
    again = folder_checksum(files_in(tmp_path / "two", dict(reversed(contents.items()))))
    assert one == again
    assert len(one) == 64
    changes = [
        {"a": b"1", "deep/b": b"3"},
        {"a": b"1", "deep/c": b"2"},
        {"a": b"1"},
        {"a": b"2", "deep/b": b"1"},
        {"a": b"1", "deep/b": b"2", "empty": b""},
    ]
    for number, other in enumerate(changes):
        assert folder_checksum(files_in(tmp_path / f"other{number}", other)) != one
