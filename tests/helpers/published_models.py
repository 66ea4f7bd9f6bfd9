"""Checkpoints as the authors' TensorFlow wrote them: variables of TF1, objects of TF2."""

import numpy as np
import tensorflow as tf

from tests.helpers.published_reference import STAGES, known_values, variables

ENDING = "/.ATTRIBUTES/VARIABLE_VALUE"


def prefix_of(folder, year, stage):
    name = STAGES[stage]
    return folder / name / "model" if year == 2019 else folder / name


def write_models(folder, year, filters, change=lambda _, values: values):
    """A models folder of all stages with known values; change(stage, values) -> values."""
    for stage in STAGES:
        values = change(stage, known_values(variables(year, stage, filters)))
        prefix = prefix_of(folder, year, stage)
        prefix.parent.mkdir(parents=True, exist_ok=True)
        write = write_variables if year == 2019 else write_objects
        write(prefix, values, stage == "vertebra_localisation")
    return folder


def write_variables(prefix, values, with_sigmas):
    """TF1: a table of names, the optimiser's among them."""
    table = dict(values)
    slots = ("Momentum",) if with_sigmas else ("Adam", "Adam_1")
    for name, value in values.items():
        table |= {f"{name}/{slot}": np.full_like(value, np.nan) for slot in slots}
    table |= {"Variable": np.int64(7)}
    extra = ("sigmas",) if with_sigmas else ("beta1_power", "beta2_power")
    table |= {name: np.float32(1) for name in extra}
    save_table(prefix, table)


def save_table(prefix, table):
    names = sorted(table)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(table[name]) for name in names],
    )


def write_objects(prefix, values, with_sigmas):
    """TF2: a tree of objects; layers without variables stand between the convolutions."""
    model, optimizer = tf.train.Checkpoint(), tf.train.Checkpoint()
    for name, value in values.items():
        node = model
        *path, kind = name.split("/")[1:]
        for part in path:
            if not hasattr(node, part):
                setattr(node, part, tf.train.Checkpoint())
            node = getattr(node, part)
        setattr(node, kind, tf.Variable(value))
    optimizer.base_optimizer = tf.train.Checkpoint(iter=tf.Variable(7, dtype=tf.int64))
    root = tf.train.Checkpoint(model=model, optimizer=optimizer)
    if with_sigmas:
        root.sigmas = tf.Variable(np.ones(26, np.float32))
    written = root.save(str(prefix))  # numbers the checkpoint, as the published ones are not
    for path in prefix.parent.glob(f"{prefix.name}-1.*"):
        path.rename(path.with_name(path.name.replace(f"{prefix.name}-1.", f"{prefix.name}.")))
    (prefix.parent / "checkpoint").unlink()
    assert written.endswith("-1")


def answering_everywhere(_, values):
    """Random values with a spine and a vertebra in every voxel, so that the spine's centre is the
    scan's, and with strong maxima in the heatmaps of vertebrae."""
    changed = dict(values)
    for name, value in values.items():
        if value.shape == (1,):  # bias of the only output
            changed[name] = value + np.float32(20)
        if name.endswith(("local_heatmaps/kernel", "local_heatmaps/layers/0/kernel")):
            changed[name] = value * np.float32(10)
    return changed
