import copy
import json
import re

import msgspec
import pytest

from verse_infer.anatomy import LABELS
from verse_infer.errors import WeightsError
from verse_infer.labelling import ChainRule, Labelling, SequenceRule
from verse_infer.weights import (
    BUNDLED_WEIGHTS,
    MANIFEST_NAME,
    STAGES,
    Crop,
    ModelFolder,
    as_json,
    crop_of,
    folder_checksum,
    read_manifest,
)

SHA = "0123456789abcdef" * 4
ENTRY = {
    "models": [{"folder": "m", "sha256": SHA}],
    "spacing_mm": 2.0,
    "input_size": [96, 96, 128],
    "smoothing_mm": 0.75,
    "intensity_divisor": 2048.0,
    "threshold": 0.5,
}
OPTIONS = {
    "spine_localisation": {"z_margin_mm": 48.0},
    "vertebra_localisation": {"tile_overlap": 64, "min_distance": 3},
    "vertebra_segmentation": {"centroid_sigma": 3.0},
}
SPINE, LOCALISATION, SEGMENTATION = STAGES
IDENTIFICATION = {"models": ENTRY["models"], "options": {"least_body": 0.1}}


def good():
    stages = {stage: {**ENTRY, "options": OPTIONS[stage]} for stage in STAGES}
    stages[LOCALISATION]["labels"] = list(LABELS)
    return copy.deepcopy(
        {"schema_version": 2, "name": "n", "stages": stages, "facts": {"date": "2026"}}
    )


def of_version_1():
    """As the first version of this project wrote it."""
    content = good()
    content["schema_version"] = 1
    for stage in (SPINE, SEGMENTATION):
        content["stages"][stage]["labels"] = [0]
    return content


def read(folder, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / MANIFEST_NAME).write_text(text)
    return read_manifest(folder)


def changed(content, place, value):
    """The content with one entry set, or taken away by `...`; place: its path, as in errors."""
    keys = [int(k) if k.isdecimal() else k for k in re.findall(r"\w+", place)]
    inner = content
    for key in keys[:-1]:
        inner = inner[key] if isinstance(inner, list) else inner.setdefault(key, {})
    if value is ...:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return content


def test_a_manifest_says_what_belongs_to_each_stage(tmp_path):
    manifest = read(tmp_path, good())
    assert (manifest.name, manifest.strategy) == ("n", "payer")
    assert manifest.facts == {"date": "2026"}
    stage = manifest.stages.vertebra_localisation
    assert stage.models == (ModelFolder("m", SHA),)
    assert (stage.spacing_mm, stage.smoothing_mm, stage.threshold) == (2.0, 0.75, 0.5)
    assert stage.input_size == (96, 96, 128)
    assert stage.labels == LABELS
    assert (stage.options.tile_overlap, stage.options.min_distance) == (64, 3)
    assert stage.options.end_margin_mm == 10.0
    assert [entry.heads for entry in manifest.stages.present().values()] == [
        {"output": 1},
        {"output": 26},
        {"output": 1},
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_manifest_may_be_edited_in_any_editor(tmp_path, encoding):
    text = json.dumps(good(), indent=1).replace("\n", "\r\n")
    (tmp_path / MANIFEST_NAME).write_bytes(text.encode(encoding))
    assert read_manifest(tmp_path).name == "n"


def test_what_is_written_is_read_again_with_every_number(tmp_path):
    manifest = read(tmp_path, good())
    text = as_json(manifest)
    assert '"open_end_mm": 25.0' in text
    assert read(tmp_path, text) == manifest


def test_version_1_says_the_same(tmp_path):
    assert read(tmp_path, of_version_1()) == read(tmp_path, good())
    wrong = changed(of_version_1(), f"stages.{SPINE}.labels", [1])
    with pytest.raises(WeightsError, match=rf"`labels` - at `\$\.stages\.{SPINE}`"):
        read(tmp_path, wrong)


def test_labelling_numbers_are_read_and_others_stay_as_published(tmp_path):
    content = good()
    own = {"rule": "sequence", "chain": {"bias": 1}, "sequence": {"with_variants": False}}
    content["stages"][LOCALISATION]["options"]["labelling"] = own
    assert read(tmp_path, content).stages.vertebra_localisation.options.labelling == Labelling(
        rule="sequence", chain=ChainRule(bias=1.0), sequence=SequenceRule(with_variants=False)
    )


def test_a_further_stage_may_have_several_outputs(tmp_path):
    content = good()
    content["stages"]["vertebra_identification"] = IDENTIFICATION
    present = read(tmp_path, content).stages.present()
    assert list(present) == [*STAGES, "vertebra_identification"]
    identification = present["vertebra_identification"]
    assert identification.options.least_body == 0.1
    assert identification.heads["names"] == 26
    assert identification.heads["body"] == 1


def test_facts_may_be_missing_and_numbers_may_have_comments(tmp_path):
    content = good()
    del content["facts"]
    content["stages"][LOCALISATION]["comments"] = ["mine"]
    assert read(tmp_path, content).facts == {}


def test_a_network_of_fewer_vertebrae_is_allowed(tmp_path):
    content = changed(good(), f"stages.{LOCALISATION}.labels", list(range(1, 26)))
    assert read(tmp_path, content).stages.vertebra_localisation.labels == tuple(range(1, 26))


def test_a_folder_without_a_manifest(tmp_path):
    with pytest.raises(WeightsError, match=r"no such file; expected a folder with manifest\.json"):
        read_manifest(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "no json", '{"a": 1,}', '{"a": NaN}', "[" * 5000])
def test_what_is_no_json(tmp_path, text):
    with pytest.raises(WeightsError, match="cannot be read as JSON"):
        read(tmp_path, text)


def test_what_is_no_text(tmp_path):
    (tmp_path / MANIFEST_NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WeightsError, match="cannot be read as JSON"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [[], 3, None, "text", {}, {"schema_version": 3}])
def test_another_schema(tmp_path, content):
    with pytest.raises(WeightsError, match=r"expected schema_version 2 \(or 1\), got"):
        read(tmp_path, json.dumps(content))


@pytest.mark.parametrize(
    "place",
    [
        "name",
        "stages",
        *(f"stages.{stage}" for stage in STAGES),
        *(f"stages.{LOCALISATION}.{key}" for key in (*ENTRY, "labels", "options")),
        f"stages.{LOCALISATION}.options.tile_overlap",
        f"stages.{LOCALISATION}.options.min_distance",
        f"stages.{SEGMENTATION}.options.centroid_sigma",
    ],
)
@pytest.mark.parametrize("make", [good, of_version_1])
def test_a_missing_entry_is_named_with_its_place(tmp_path, place, make):
    parent, _, key = f"$.{place}".rpartition(".")
    with pytest.raises(WeightsError) as error:
        read(tmp_path, changed(make(), place, ...))
    assert f"missing required field `{key}`" in str(error.value)
    assert parent == "$" or f"at `{parent}`" in str(error.value)


#: A corruption of the bundled manifest, and how the error ends.
OWN = f"stages.{LOCALISATION}.options"
CRUDE = [
    (f"{OWN}.usual_respons", 0.3, f"unknown field `usual_respons` - at `$.{OWN}`"),
    (f"{OWN}.tile_merge", "mean", f"unknown field `tile_merge` - at `$.{OWN}`"),
    (f"{OWN}.tile_merging", "sum", f"`$.{OWN}.tile_merging`"),
    (f"{OWN}.min_distance", "three", f"`$.{OWN}.min_distance`"),
    (f"{OWN}.tile_overlap", 200, f"expected less than 128, got 200 - at `$.{OWN}.tile_overlap`"),
    (f"{OWN}.labelling.rule", "chian", f"'chian' - at `$.{OWN}.labelling.rule`"),
    (
        f"{OWN}.labelling.chain.wieght",
        0.6,
        f"unknown field `wieght` - at `$.{OWN}.labelling.chain`",
    ),
    (f"{OWN}.bodies.threshold", -1, f"`$.{OWN}.bodies.threshold`"),
    (f"stages.{SEGMENTATION}.options.centroid_sigma", 0, "options.centroid_sigma`"),
    (f"stages.{SEGMENTATION}.models[0].folder", "../../etc", "models[0].folder`"),
    (f"stages.{SEGMENTATION}.models[0].folder", "/etc", "models[0].folder`"),
    (f"stages.{SEGMENTATION}.options.crops[1].labels", [1], "options.crops`"),
    (f"stages.{SEGMENTATION}.options.crops[1].labels", [], "options.crops[1].labels`"),
    (
        f"stages.{SEGMENTATION}.options.crops[0].offset_mm",
        [0, 60, 0],
        "options.crops[0].offset_mm`",
    ),
    (f"stages.{SEGMENTATION}.options.crop_offset_mm", [0, 18], "options.crop_offset_mm`"),
    (f"stages.{SPINE}.options.z_margin_mm", None, f"stages.{SPINE}.options.z_margin_mm`"),
    ("strategy", "paier", "'paier' - at `$.strategy`"),
]


@pytest.mark.parametrize(("place", "value", "ending"), CRUDE)
def test_a_corruption_is_refused_with_its_place(tmp_path, place, value, ending):
    bundled = json.loads((BUNDLED_WEIGHTS / MANIFEST_NAME).read_text(encoding="utf-8"))
    assert read(tmp_path, copy.deepcopy(bundled)) == read_manifest(BUNDLED_WEIGHTS)
    with pytest.raises(WeightsError) as error:
        read(tmp_path, changed(bundled, place, value))
    assert str(error.value).startswith(str(tmp_path / MANIFEST_NAME))
    assert str(error.value).endswith(ending)


def test_a_spine_that_runs_along_the_whole_scan_needs_no_margin(tmp_path):
    content = changed(good(), f"stages.{SPINE}.options", {"whole_scan": True})
    assert read(tmp_path, content).stages.spine_localisation.options.whole_scan
    other = changed(content, f"stages.{SEGMENTATION}.options", {"whole_scan": True})
    with pytest.raises(WeightsError, match=r"`whole_scan` - at `\$\.stages\.vertebra_seg"):
        read(tmp_path, other)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("input_size", [96, 96], "Expected `array` of length 3, got 2"),
        ("input_size", [96, 96, 100], "multiple of 16"),
        ("input_size", [96, 96, 0], ">= 16"),
        ("input_size", [96, 96, -16], ">= 16"),
        ("input_size", 96, "Expected `array`, got `int`"),
        ("labels", [], "expected distinct ones of"),
        ("labels", [1, 1, 2], "expected distinct ones of"),
        ("labels", [1, 26], "expected distinct ones of"),
        ("labels", [0], "expected distinct ones of"),
        ("models", [], "length >= 1"),
        ("models", [{"folder": "m"}], "sha256"),
        ("models", [{"folder": "m", "sha256": "0"}], "matching regex"),
        ("models", ["m"], "Expected `object`, got `str`"),
        ("spacing_mm", "wide", "Expected `float`, got `str`"),
        ("spacing_mm", None, "Expected `float`, got `null`"),
        ("spacing_mm", 0, ">= 0.001"),
        ("spacing_mm", -2.0, ">= 0.001"),
        ("intensity_divisor", 0, ">= 0.001"),
        ("threshold", -0.1, ">= 0"),
        ("smoothing_mm", -1, ">= 0"),
        ("options", 3, "Expected `object`, got `int`"),
    ],
)
def test_a_wrong_entry_is_said_with_what_was_expected(tmp_path, key, value, expected):
    with pytest.raises(WeightsError) as error:
        read(tmp_path, changed(good(), f"stages.{LOCALISATION}.{key}", value))
    assert expected in str(error.value)
    assert f"at `$.stages.{LOCALISATION}.{key}" in str(error.value)


@pytest.mark.parametrize("stages", [[], 3, {stage: [] for stage in STAGES}, "text", None])
@pytest.mark.parametrize("make", [good, of_version_1])
def test_stages_of_another_type(tmp_path, stages, make):
    with pytest.raises(WeightsError, match=r"Expected `object`, got .* - at `\$\.stages"):
        read(tmp_path, {**make(), "stages": stages})


@pytest.mark.parametrize("facts", [3, [1], "text"])
def test_facts_of_another_type(tmp_path, facts):
    with pytest.raises(WeightsError, match=r"Expected `object`, got .* - at `\$\.facts`"):
        read(tmp_path, {**good(), "facts": facts})


def test_a_vertebra_has_the_crop_that_names_it_or_the_whole_one(tmp_path):
    small = {"input_size": [16, 32, 48], "offset_mm": [0, 8, -4], "labels": [1, 2, 28]}
    options = {"centroid_sigma": 3.0, "crop_offset_mm": [0, 18, -4], "crops": [small]}
    stage = read(
        tmp_path, changed(good(), f"stages.{SEGMENTATION}.options", options)
    ).stages.vertebra_segmentation
    named = Crop((16, 32, 48), (0.0, 8.0, -4.0), labels=(1, 2, 28))
    whole = Crop((96, 96, 128), (0.0, 18.0, -4.0))
    assert stage.crops == (named, whole)
    assert [crop_of(stage.crops, label) for label in (1, 28, 3)] == [named, named, whole]
    assert stage.input_sizes == (named.size, whole.size)


def test_without_options_all_have_one_crop_around_the_centroid(tmp_path):
    assert read(tmp_path, good()).stages.vertebra_segmentation.crops == (Crop((96, 96, 128)),)


@pytest.mark.parametrize("model", [Crop, ChainRule, SequenceRule, Labelling])
def test_no_misspelt_entry_is_passed_over(model):
    content = {"input_size": [16, 16, 16]} if model is Crop else {}
    assert msgspec.convert(content, model)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({**content, "wieght": 1}, model)


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
