"""Imported weights with random values go through every stage of the container."""

from functools import partial

import numpy as np
import pytest

from tests.helpers.published_models import answering_everywhere, write_models
from verse_infer.ct import Ct
from verse_infer.grid import Lattice
from verse_infer.networks import load_networks
from verse_infer.pipeline import Pipeline
from verse_train.published.importing import import_published
from verse_train.published.networks_2019 import build_2019
from verse_train.published.networks_2020 import build_2020

GRID = Lattice((-40.0, -40.0, 100.0), (2.0, 2.0, 2.0), (40, 40, 70))


@pytest.mark.parametrize(("year", "build"), [(2019, build_2019), (2020, build_2020)])
def test_a_small_scan_goes_through_every_stage(tmp_path, year, build):
    models = write_models(tmp_path / "models", year, 2, answering_everywhere)
    import_published(year, models, tmp_path / "weights", partial(build, filters=2))
    pipeline = Pipeline(load_networks(tmp_path / "weights", "cpu", "float32"))
    hu = np.random.default_rng(0).integers(-1000, 1500, GRID.shape).astype(np.int16)
    result = pipeline.run(Ct(hu, GRID))
    assert result.spine.centre_xy == pytest.approx((-1.0, -1.0), abs=8.0)
    assert result.spine.z_range == (100.0, 238.0)
    assert len(result.centroids) >= 2
    z = [centroid.point[2] for centroid in result.centroids]
    assert z == sorted(z, reverse=True)
    assert set(np.unique(result.mask)) <= {0, *(c.label for c in result.centroids)}
    assert (result.mask > 0).mean() > 0.85
    assert set(result.seconds) == {
        "spine localisation",
        "vertebra localisation",
        "vertebra segmentation",
    }
