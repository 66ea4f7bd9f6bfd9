"""The short cuts of the stages change nothing: the same networks by the plain path, as published.

There, ITK smooths and resamples, every vertebra is brought back to the whole scan, and each crop goes
through the network by itself.
"""

from dataclasses import replace

import pytest

from tests.helpers.geometry import difference
from tests.helpers.itk_resampling import itk_sample
from verse_bench.paths import segment_on_whole_volume
from verse_infer import landmarks, segmentation, spine
from verse_infer import pipeline as stages
from verse_infer.files.ct_reading import read_ct
from verse_infer.networks import load_networks
from verse_infer.pipeline import Pipeline
from verse_infer.resampling import AIR_HU
from verse_infer.weights import BUNDLED_WEIGHTS


def plain_sample(ct, lattice, smoothing_mm=0.0, outside=AIR_HU):
    factors = [max(1, int(min(lattice.spacing) / (2 * s))) for s in ct.lattice.spacing]
    return itk_sample(ct, lattice, smoothing_mm, factors, outside)


@pytest.mark.slow
def test_short_cuts_change_nothing(scan, monkeypatch):
    networks = load_networks(BUNDLED_WEIGHTS, "cpu", "float32", batch=2)
    ct = read_ct(scan)
    short = Pipeline(networks).run(ct)
    for module in (spine, landmarks, segmentation):
        monkeypatch.setattr(module, "sample", plain_sample)
    monkeypatch.setattr(stages, "segment_vertebrae", segment_on_whole_volume)
    singly = {stage: replace(network, batch=1) for stage, network in networks.stages.items()}
    plain = Pipeline(replace(networks, stages=singly)).run(ct)
    found = difference((short, ct.lattice), (plain, ct.lattice))
    assert not found.only_one
    assert len(short.centroids) > 3
    assert found.distance_mm <= 0.1, found
    assert found.dice >= 0.999, found
