"""A body bent to other spines."""

from dataclasses import replace

import numpy as np
import pytest

from verse_infer.anatomy import MEAN_OFFSETS_MM, label_of
from verse_train.data.prepared import load_prepared
from verse_train.synthetic.anatomy_map import Tissue
from verse_train.synthetic.bank import fill_bank
from verse_train.synthetic.bending import bend_to, bent_body

from .bodies import mean_body, tissue_at

LABELS = [label_of(name) for name in ("T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5")]


def spine(curve, scale=1.0, start=(200.0, -40.0, 900.0)):
    """A real-looking configuration: mean steps, scaled, with x moved along the spine by curve(i)."""
    point, points = np.array(start), {}
    for i, label in enumerate(LABELS):
        points[label] = point + np.array([curve(i), 0.0, 0.0])
        if i + 1 < len(LABELS):
            point = point + scale * np.array(MEAN_OFFSETS_MM[label, LABELS[i + 1]])
    return points


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.2])
def test_vertebrae_come_to_lie_on_the_configuration(scale):
    wanted = spine(lambda i: 15 * np.sin(i / 2), scale)
    bend = bend_to(mean_body(), wanted)
    assert bend.scale == pytest.approx(scale, rel=0.15)
    bent = bent_body(mean_body(), bend)
    places = {c.label: np.array(c.point) for c in bent.centroids}
    for label, point in wanted.items():
        assert places[label] == pytest.approx(point, abs=0.1)
        assert tissue_at(bent, point) == Tissue.VERTEBRA
        i, j, k = np.rint(bent.lattice.index(point)).astype(int)
        assert bent.vertebrae[k, j, i] == label


def test_vertebrae_beyond_the_configuration_go_on_at_its_ends():
    wanted = spine(lambda _: 0.0, 1.1)
    body = mean_body()
    bent = bent_body(body, bend_to(body, wanted))
    assert {c.label for c in bent.centroids} == {c.label for c in body.centroids}
    before, after = ({c.label: np.array(c.point) for c in b.centroids} for b in (body, bent))
    upper, lower = label_of("T4"), label_of("T5")
    scale = bend_to(body, wanted).scale
    assert after[upper] - after[lower] == pytest.approx(
        scale * (before[upper] - before[lower]), abs=0.2
    )
    for centroid in bent.centroids:
        i, j, k = np.rint(bent.lattice.index(centroid.point)).astype(int)
        box = bent.vertebrae[k - 2 : k + 3, j - 3 : j + 4, i - 3 : i + 4]
        assert centroid.label in box


def test_a_bent_body_keeps_all_its_vertebrae_at_their_size():
    body = mean_body()
    bent = bent_body(body, bend_to(body, spine(lambda _: 0.0)))
    counts = [np.bincount(b.vertebrae.ravel(), minlength=30)[LABELS] for b in (body, bent)]
    scale = bend_to(body, spine(lambda _: 0.0)).scale
    assert counts[1] == pytest.approx(counts[0] * scale**3, rel=0.15)


def test_another_build_moves_no_centroid_but_widens_bodies_and_thins_discs():
    body, wanted = mean_body(), spine(lambda i: 10 * np.sin(i / 2))
    bend = bend_to(body, wanted)
    plain = bent_body(body, bend)
    built = bent_body(body, replace(bend, build=(1.3, 0.8), thin_discs=0.7))
    label = label_of("L2")
    sizes = []
    for anatomy in (plain, built):
        places = {c.label: np.array(c.point) for c in anatomy.centroids}
        assert places[label] == pytest.approx(wanted[label], abs=0.2)
        i, j, k = np.rint(anatomy.lattice.index(wanted[label])).astype(int)
        own = anatomy.vertebrae == label
        assert own[k, j, i]
        sizes.append([own[:, j, i].sum(), own[k, :j, i].sum(), own[k, j].sum()])
    heights, depths, widths = zip(*sizes, strict=True)
    assert heights[1] > heights[0]
    assert depths[1] < depths[0]
    assert widths[1] == pytest.approx(1.3 * widths[0], abs=1.5)


def test_what_has_nothing_in_common_or_stands_on_its_head_is_not_bent_to():
    wanted = spine(lambda _: 0.0)
    assert bend_to(mean_body(), {label_of("T13"): np.zeros(3), 20: np.zeros(3)}) is None
    upside_down = {label: -point for label, point in wanted.items()}
    assert bend_to(mean_body(), upside_down) is None


def test_a_bank_shows_the_atlas_bent(tmp_path, monkeypatch):
    lattices = {"vertebra_localisation": (5.0, (44, 40), (150.0, 250.0))}
    monkeypatch.setattr("verse_train.synthetic.bank._LATTICES", lattices)
    wanted = spine(lambda i: 12.0 * (i % 2))
    fill_bank(tmp_path, "vertebra_localisation", 2, 0, mean_body(), [{}, wanted])
    case = load_prepared(tmp_path / "synthetic-0-0001.npz")
    shown = {c.label: np.array(c.point) for c in (*case.centroids, *case.cut)}
    common = shown.keys() & wanted.keys()
    assert len(common) > 1
    for label in common:
        assert shown[label] == pytest.approx(wanted[label], abs=0.1)
