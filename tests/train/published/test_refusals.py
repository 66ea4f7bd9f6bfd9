"""Checkpoints that are missing, damaged or of another network: a clear error, and nothing left."""

from functools import partial

import numpy as np
import pytest

from tests.helpers.published_models import prefix_of, write_models
from tests.helpers.published_reference import STAGES
from verse_infer.errors import WeightsError
from verse_infer.weights import MANIFEST_NAME
from verse_train.cli import main
from verse_train.published.importing import import_published
from verse_train.published.networks_2019 import build_2019
from verse_train.published.networks_2020 import build_2020

BUILDERS = {2019: partial(build_2019, filters=2), 2020: partial(build_2020, filters=2)}
KERNEL = {
    2019: "net/local/expanding/level3/conv0/kernel",
    2020: "model/unet/expanding_layers/level3/layers/0/kernel",
}
LAST = "vertebra_segmentation"
both_years = pytest.mark.parametrize("year", [2019, 2020])


def change_last(change):
    """A change of the last stage's values only, so that the others have been read before."""

    def apply(stage, values):
        return change(values) if stage == LAST else values

    return apply


def refused(tmp_path, year, models, text):
    """The import raises an error with this text, and leaves the folder as it was."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WeightsError, match=text):
        import_published(year, models, tmp_path / "out" / "weights", BUILDERS[year])
    assert sorted(tmp_path.rglob("*")) == before


@both_years
def test_a_kernel_of_another_shape_is_named_with_both_shapes(tmp_path, year):
    def change(values):
        return {**values, KERNEL[year]: np.zeros((3, 3, 3, 2, 2), np.float32)}

    models = write_models(tmp_path / "models", year, 2, change_last(change))
    text = rf"{KERNEL[year]}.* \(3, 3, 3, 4, 2\) expected, \(3, 3, 3, 2, 2\) found"
    refused(tmp_path, year, models, text)


@both_years
def test_a_missing_variable_is_named_with_its_shape(tmp_path, year):
    def change(values):
        return {name: value for name, value in values.items() if name != KERNEL[year]}

    models = write_models(tmp_path / "models", year, 2, change_last(change))
    refused(tmp_path, year, models, rf"{KERNEL[year]}.* \(3, 3, 3, 4, 2\) expected, none found")


@both_years
def test_a_variable_the_network_lacks_is_named(tmp_path, year):
    extra = KERNEL[year].replace("level3", "level7")

    def change(values):
        return {**values, extra: np.zeros(5, np.float32)}

    models = write_models(tmp_path / "models", year, 2, change_last(change))
    refused(tmp_path, year, models, rf"{extra}.* \(5,\) found, none expected")


@both_years
def test_a_network_of_another_width_is_counted_out_and_named_briefly(tmp_path, year):
    models = write_models(tmp_path / "models", year, 3)
    refused(
        tmp_path, year, models, r"expected 42 variables, got 42, of which 1 fit: .* and 35 more"
    )


@both_years
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_another_type_of_number_is_refused(tmp_path, year, dtype):
    def change(values):
        return {**values, KERNEL[year]: values[KERNEL[year]].astype(dtype)}

    models = write_models(tmp_path / "models", year, 2, change_last(change))
    refused(tmp_path, year, models, f"{KERNEL[year]}.*: expected float32, got {dtype.__name__}")


def test_numbers_that_are_none_are_refused(tmp_path):
    def change(values):
        values[KERNEL[2019]][0, 0, 0, 0] = np.nan
        return values

    models = write_models(tmp_path / "models", 2019, 2, change_last(change))
    refused(tmp_path, 2019, models, r"level3/conv0/kernel: expected finite numbers, got 2 others")


@both_years
@pytest.mark.parametrize(
    ("stage", "ending"),
    [("spine_localisation", ".index"), ("vertebra_localisation", ".data-00000-of-00001")],
)
def test_a_missing_file_is_named(tmp_path, year, stage, ending):
    models = write_models(tmp_path / "models", year, 2)
    prefix = prefix_of(models, year, stage)
    prefix.with_name(prefix.name + ending).unlink()
    refused(tmp_path, year, models, rf"{prefix}{ending[:6]}.*expected .* found none")


def test_a_missing_data_file_of_several_is_named(tmp_path):
    models = write_models(tmp_path / "models", 2020, 2)
    only = models / "vertebrae_segmentation.data-00000-of-00001"
    only.rename(models / "vertebrae_segmentation.data-00001-of-00002")
    refused(tmp_path, 2020, models, r"expected the data files .*00000-of-00002.*, got .*00001-of")


@both_years
@pytest.mark.parametrize("ending", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, year, ending, share):
    models = write_models(tmp_path / "models", year, 2)
    prefix = prefix_of(models, year, "spine_localisation")
    path = prefix.with_name(prefix.name + ending)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(tmp_path, year, models, f"{prefix}: expected a whole TensorFlow checkpoint")


def test_a_flipped_bit_is_refused(tmp_path):
    models = write_models(tmp_path / "models", 2019, 2)
    path = models / "vertebrae_segmentation" / "model.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(tmp_path, 2019, models, "expected a whole TensorFlow checkpoint")


def test_a_placeholder_of_a_large_file_is_refused(tmp_path):
    models = write_models(tmp_path / "models", 2019, 2)
    index = models / "spine_localization" / "model.index"
    index.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5185\n")
    refused(tmp_path, 2019, models, "placeholder")


def test_the_other_years_folder_is_refused(tmp_path):
    models = write_models(tmp_path / "models", 2019, 2)
    refused(tmp_path, 2020, models, r"spine_localization.index: expected .* found none")


def run(*arguments):
    return main(["import-published", *map(str, arguments)])


def test_the_command_answers_with_2_and_leaves_an_earlier_weights_folder_alone(tmp_path, capsys):
    models = write_models(tmp_path / "models", 2019, 2)
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / MANIFEST_NAME).write_text("{}")
    assert run("--year", 2019, "--checkpoint", models, "--output", weights) == 2
    assert "does not fit the published network" in capsys.readouterr().err
    assert [path.name for path in weights.iterdir()] == [MANIFEST_NAME]


def test_a_missing_folder_is_named(tmp_path, capsys):
    arguments = ("--checkpoint", tmp_path / "none", "--output", tmp_path / "weights")
    assert run("--year", 2020, *arguments) == 2
    assert "none: expected a folder of checkpoints" in capsys.readouterr().err


def test_a_folder_of_something_else_is_not_replaced(tmp_path, capsys):
    (tmp_path / "notes").write_text("mine")
    assert run("--year", 2020, "--checkpoint", tmp_path, "--output", tmp_path) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err
    assert (tmp_path / "notes").read_text() == "mine"


def test_an_earlier_weights_folder_is_replaced_as_a_whole(tmp_path):
    models = write_models(tmp_path / "models", 2019, 2)
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / MANIFEST_NAME).write_text("{}")
    (weights / "old").write_text("")
    import_published(2019, models, weights, BUILDERS[2019])
    assert sorted(path.name for path in weights.iterdir()) == sorted([MANIFEST_NAME, *STAGES])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "weights"]
