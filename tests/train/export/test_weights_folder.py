"""From Keras networks to a weights folder and back through the reader of verse_infer."""

import json

import keras
import numpy as np
import pytest
from msgspec import structs

from tests.helpers.tiny_weights import tiny_exports, write_weights
from tests.helpers.training_cases import TINY
from verse_infer.errors import UsageError, WeightsError
from verse_infer.networks import load_networks
from verse_infer.weights import MANIFEST_NAME, STAGES, folder_checksum, read_manifest
from verse_train.config import CONFIGS
from verse_train.export import weights_folder as export
from verse_train.export.weights_folder import export_weights, networks_to_export, save_frozen
from verse_train.networks.answers import in_float32
from verse_train.networks.architectures import build_network
from verse_train.networks.losses import shares

FACTS = {"data": ["synthetic"], "date": "2026-11-21"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "weights"
    return folder, write_weights(folder, ensemble=2, facts=FACTS)


@pytest.fixture(scope="module")
def loaded(exported):
    return load_networks(exported[0], "cpu", "float32")


def image_for(stage, shape=(16, 32, 16), seed=0):
    channels = 2 if stage == "vertebra_segmentation" else 1
    return np.random.default_rng(seed).uniform(-1, 1, (*shape, channels)).astype(np.float32)


def keras_answer(network, stage, image):
    output = network(image[None], training=False)
    if stage == "vertebra_segmentation":
        output = keras.ops.sigmoid(output)
    elif stage == "vertebra_localisation":
        output = shares(output)
    return np.asarray(output)[0]


@pytest.mark.parametrize("stage", STAGES)
def test_exported_networks_answer_as_keras_does_and_ensembles_average(exported, loaded, stage):
    networks = exported[1][stage].networks
    for shape in ((16, 32, 16), (32, 16, 16)):
        image = image_for(stage, shape)
        each = [keras_answer(network, stage, image) for network in networks]
        assert np.abs(each[0] - each[1]).max() > 1e-3  # else the average shows nothing
        found = loaded[stage](image)
        assert found.dtype == np.float32
        assert np.abs(found - (each[0] + each[1]) / 2).max() < 1e-5


@pytest.mark.parametrize("stage", STAGES)
def test_a_batch_is_answered_image_by_image(loaded, stage):
    images = np.stack([image_for(stage, seed=seed) for seed in range(2)])
    together = loaded[stage].run_batch(images)
    for image, answer in zip(images, together, strict=True):
        assert np.abs(loaded[stage](image) - answer).max() < 1e-5


def test_the_manifest_says_what_was_exported(exported):
    folder, exports = exported
    manifest = read_manifest(folder)
    assert manifest.name == "tiny"
    assert manifest.facts == FACTS
    for stage in STAGES:
        entry = manifest.stages.present()[stage]
        assert structs.replace(entry, models=()) == exports[stage].weights
        assert [model.folder for model in entry.models] == [
            f"{stage}/model0",
            f"{stage}/model1",
        ]
        for model in entry.models:
            assert folder_checksum(folder / model.folder) == model.sha256


@pytest.fixture
def copy(exported, tmp_path):
    """The exported folder, free to be damaged; files are shared until written anew."""
    for path in exported[0].rglob("*"):
        if path.is_file():
            target = tmp_path / "weights" / path.relative_to(exported[0])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)
    return tmp_path / "weights"


def rewrite(path, content):
    path.unlink()
    path.write_bytes(content)


def test_a_damaged_file_is_refused(copy):
    path = copy / "vertebra_segmentation/model1/saved_model.pb"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    rewrite(path, bytes(content))
    with pytest.raises(WeightsError, match=r"segmentation/model1: damaged: expected SHA-256"):
        load_networks(copy, "cpu", "float32")


def test_an_added_file_is_refused(copy):
    (copy / "spine_localisation/model0/extra.txt").write_text("x")
    with pytest.raises(WeightsError, match="damaged"):
        load_networks(copy, "cpu", "float32")


def test_a_missing_model_is_named(copy):
    (copy / "spine_localisation/model0/saved_model.pb").unlink()
    with pytest.raises(WeightsError, match="spine_localisation/model0: expected a SavedModel"):
        load_networks(copy, "cpu", "float32")


def change_entry(folder, stage, **changes):
    path = folder / MANIFEST_NAME
    content = json.loads(path.read_text())
    content["stages"][stage].update(changes)
    rewrite(path, json.dumps(content).encode())
    return content


def test_a_network_of_other_channels_than_stated_is_refused(copy):
    change_entry(copy, "vertebra_localisation", labels=[1, 2, 3])
    with pytest.raises(
        WeightsError, match=r"expected outputs with channels \{'output': 3\}, got \{'output': 26\}"
    ):
        load_networks(copy, "cpu", "float32")


def test_something_that_is_no_saved_model_is_refused_though_its_checksum_is_right(copy):
    folder = copy / "spine_localisation/model0"
    rewrite(folder / "saved_model.pb", b"no model")
    model = {"folder": "spine_localisation/model0", "sha256": folder_checksum(folder)}
    change_entry(copy, "spine_localisation", models=[model])
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_networks(copy, "cpu", "float32")


def test_a_new_export_replaces_the_old_one_as_a_whole(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "old.txt").write_text("old")

    def quick(_, target, answer):
        target.mkdir(parents=True)
        (target / "saved_model.pb").write_text(answer)

    monkeypatch.setattr(export, "save_frozen", quick)
    exports = tiny_exports()
    export_weights(folder, "new", exports, {})
    assert not (folder / "old.txt").exists()
    assert read_manifest(folder).name == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(export, "save_frozen", fail)
    with pytest.raises(OSError, match="disk full"):
        export_weights(folder, "newer", exports, {})
    assert read_manifest(folder).name == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_network_trained_in_bfloat16_is_exported_in_float32(stage):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        network = build_network(stage, TINY)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    plain = in_float32(network)
    assert {layer.compute_dtype for layer in plain.layers} == {"float32"}
    reference = build_network(stage, TINY)
    reference.set_weights(network.get_weights())
    image = image_for(stage, (16, 16, 16))[None]
    assert np.array_equal(np.asarray(plain(image)), np.asarray(reference(image)))


def test_export_refuses_at_once_where_keras_runs_on_jax(tmp_path, monkeypatch):
    """Before any checkpoint is looked for, and before any folder is made."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    message = "expected Keras to run on TensorFlow to export, got jax: .* KERAS_BACKEND=tensorflow"
    with pytest.raises(UsageError, match=message):
        networks_to_export(tmp_path / "absent", CONFIGS["compact"]["spine_localisation"])
    with pytest.raises(UsageError, match=message):
        export_weights(tmp_path / "made/weights", "new", tiny_exports(), {})
    assert not (tmp_path / "made").exists()


def test_a_saved_model_takes_any_size_and_keeps_no_variables(tmp_path):
    import tensorflow as tf

    save_frozen(build_network("spine_localisation", TINY), tmp_path / "model")
    assert (
        not (tmp_path / "model/variables/variables.data-00000-of-00001").exists()
        or (tmp_path / "model/variables/variables.data-00000-of-00001").stat().st_size < 1000
    )
    model = tf.saved_model.load(str(tmp_path / "model"))
    (image,) = model.signatures["serving_default"].structured_input_signature[1].values()
    assert image.shape.as_list() == [None, None, None, None, 1]
    outputs = model.signatures["serving_default"].structured_outputs
    assert outputs["output"].shape.as_list() == [None, None, None, None, 1]
