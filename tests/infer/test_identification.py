"""Bodies and names read from a picture, by a stand-in network that answers what a test tells it."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from verse_infer.anatomy import LABELS, MEAN_OFFSETS_MM, label_of, region_of
from verse_infer.ct import Centroid, Ct
from verse_infer.grid import Lattice
from verse_infer.identification import (
    OFFSET_MM,
    STRIDE,
    identify,
    read_along,
    read_bodies,
)
from verse_infer.labelling import ChainRule, label_by_chain
from verse_infer.landmarks import Heatmaps, find_bodies
from verse_infer.straightening import curve_through
from verse_infer.weights import IdentificationOptions

GRID = Lattice((-60.0, -60.0, 0.0), (2.0, 2.0, 2.0), (60, 60, 90))
RULE = IdentificationOptions()
STRAIGHT = ((0.0, 0.0, 30.0), (0.0, 0.0, 150.0))
CHAIN = ChainRule(
    threshold=0.0,
    weight=0.6,
    bias=-0.4,
    neighbour_factor=0.0,
    response_floor=0.01,
    rarity_weight=0.6,
    max_missing=2,
)


@dataclass
class Reader:
    """Answers with bodies at heights along a straight curve, given as {height in mm: name}.

    offset: of all bodies from the curve, to the patient's left and back, mm. calls: pictures seen.
    """

    bodies: dict[float, str]
    offset: tuple[float, float] = (0.0, 0.0)
    chance: float = 0.95
    bottom: float = -15.0
    calls: list[np.ndarray] = field(default_factory=list)

    def run_heads(self, images):
        self.calls.append(images)
        count, rows = len(images), images.shape[1] // STRIDE
        names = np.zeros((count, rows, len(LABELS)), np.float32)
        region = np.zeros((count, rows, 3), np.float32)
        body = np.full((count, rows, 1), -6.0, np.float32)
        z = self.bottom + 1.5 * (np.arange(rows) * STRIDE + (STRIDE - 1) / 2)
        for height, name in self.bodies.items():
            near = np.exp(-0.5 * ((z - height) / 3.0) ** 2) * self.chance
            logit = np.log((near + 1e-3) / (1 - near + 1e-3))
            body[..., 0] = np.maximum(body[..., 0], logit)
            rows_of = np.abs(z - height) < 8
            names[:, rows_of, LABELS.index(label_of(name))] = 6.0
            place = ("cervical", "thoracic", "lumbar").index(region_of(label_of(name)))
            region[:, rows_of, place] = 4.0
        offset = np.empty((count, rows, 2), np.float32)
        offset[0], offset[1] = self.offset, (-self.offset[0], self.offset[1])
        nothing = np.zeros((count, rows, 1), np.float32)
        return {
            "names": names,
            "region": region,
            "body": body,
            "offset": offset / OFFSET_MM,
            "whole": nothing,
            "sacrum": nothing,
        }


def ct():
    return Ct(np.full(GRID.shape, 50, np.int16), GRID)


def column(first, *names):
    """{height: name} of neighbours at their mean distances, `first` mm being the lowest's height."""
    heights = [first]
    for upper, lower in zip(names[-2::-1], names[:0:-1], strict=True):
        heights.append(heights[-1] - MEAN_OFFSETS_MM[label_of(upper), label_of(lower)][2])
    return dict(zip(heights, reversed(names), strict=True))


def spine():
    return column(30.0, "T10", "T11", "T12", "L1")


def localised(*heights, x=0.0, response=0.9):
    return [Centroid(0, (x, 0.0, z), response) for z in heights]


def named(reader, found, guide=STRAIGHT):
    candidates, _ = identify(ct(), found, guide, reader, RULE)
    path = label_by_chain(candidates, CHAIN)
    return {c.label: c.point for c in path}


def test_bodies_that_stage_2_passed_over_are_found_and_named():
    bodies = spine()
    found = named(Reader(bodies), localised(*list(bodies)[:2]))
    assert set(found) == {label_of(name) for name in bodies.values()}
    for height, name in bodies.items():
        assert found[label_of(name)] == pytest.approx((0, 0, height), abs=1.0)


def test_names_are_those_of_the_picture_whatever_stage_2_calls_a_body():
    bodies = spine()
    wrong = [Centroid(label_of("C3"), (0.0, 0.0, z), 0.9) for z in bodies]
    assert set(named(Reader(bodies), wrong)) == {label_of(name) for name in bodies.values()}


def test_a_body_of_stage_2_that_the_picture_does_not_show_may_still_join():
    """Its chance comes from stage 2 alone, its name from its neighbours."""
    bodies = column(30.0, "T9", "T10", "T11", "T12")
    shown = {z: name for z, name in bodies.items() if name != "T11"}
    place = next(z for z, name in bodies.items() if name == "T11")
    found = named(Reader(shown), localised(place))
    assert found[label_of("T11")] == pytest.approx((0, 0, place), abs=0.1)


def test_a_body_beside_the_spine_is_left_out():
    bodies = spine()
    candidates, _ = identify(ct(), localised(90.0, x=40.0), STRAIGHT, Reader(bodies), RULE)
    assert max(abs(c.point[0]) for c in candidates) < 1.0


def test_a_body_that_both_found_comes_once_between_their_places():
    bodies = {60.0: "T12"}
    candidates, _ = identify(ct(), localised(63.0), STRAIGHT, Reader(bodies), RULE)
    assert {c.point for c in candidates if c.response > 0.1} == {candidates[0].point}
    assert candidates[0].point[2] == pytest.approx(61.5, abs=0.7)


def test_the_chances_of_a_bodys_names_sum_to_its_own():
    candidates, _ = identify(ct(), [], STRAIGHT, Reader({60.0: "T12"}), RULE)
    assert sum(c.response for c in candidates) == pytest.approx(0.95, abs=0.06)
    best = max(candidates, key=lambda c: c.response)
    assert best.label == label_of("T12")


def test_centres_lie_where_the_offsets_say_and_mirror_images_agree():
    reader = Reader({60.0: "T12"}, offset=(7.0, -4.0))
    candidates, reading = identify(ct(), [], STRAIGHT, reader, RULE)
    assert np.allclose(reading.offset, (7.0, -4.0), atol=1e-4)
    assert candidates[0].point == pytest.approx((7.0, -4.0, 60.0), abs=0.7)


def test_the_second_look_follows_the_bodies_of_the_first():
    bodies = spine()
    reader = Reader(bodies, offset=(9.0, 0.0))
    _, reading = identify(ct(), [], STRAIGHT, reader, RULE)
    assert len(reader.calls) == 2
    middle = reading.curve.centre[len(reading.curve.centre) // 2]
    assert middle[0] == pytest.approx(9.0, abs=0.5)


@pytest.mark.parametrize("height", [59.0, 60.0, 60.7, 61.6])
def test_places_are_found_between_rows(height):
    curve = curve_through(STRAIGHT, (0.0, 178.0))
    (body,) = read_bodies(read_along(ct(), curve, Reader({height: "L1"}), 0.75), 0.3)
    assert body.point[2] == pytest.approx(height, abs=0.5)
    assert body.chance == pytest.approx(0.95, abs=0.1)


def test_an_odd_number_of_rows_gets_one_of_air():
    reader = Reader({60.0: "L1"})
    for top in (178.0, 179.5, 180.9):
        grid = Lattice(GRID.origin, GRID.spacing, (60, 60, int(top / 2)))
        curve = curve_through(STRAIGHT, (0.0, top))
        reading = read_along(Ct(np.zeros(grid.shape, np.int16), grid), curve, reader, 0.75)
        assert len(reading.rows) == -(-len(curve.centre) // STRIDE)


def heatmaps_of(point, responses):
    """Heatmaps of 2 mm with a blob at one point, by name of vertebra."""
    lattice = Lattice((-20.0, -20.0, 0.0), (2.0, 2.0, 2.0), (20, 20, 90))
    k, j, i = np.indices(lattice.shape)
    distance = np.linalg.norm(lattice.point(np.stack([i, j, k], axis=-1)) - point, axis=-1)
    blob = np.exp(-0.5 * (distance / 4) ** 2).astype(np.float32)
    labels = tuple(label_of(name) for name in responses)
    return Heatmaps(np.stack([blob * r for r in responses.values()], axis=-1), labels, lattice)


def test_heatmaps_have_their_say_where_the_picture_is_unsure():
    """The picture shows a body without a name; stage 2 prefers T11."""

    class Nameless(Reader):
        def run_heads(self, images):
            heads = super().run_heads(images)
            return {**heads, "names": heads["names"] * 0, "region": heads["region"] * 0}

    heatmaps = heatmaps_of((0.0, 0.0, 60.0), {"T11": 0.6, "T12": 0.1})
    reader = Nameless({60.0: "L1"})
    found, _ = identify(ct(), [], STRAIGHT, reader, RULE, heatmaps)
    at_body = [c for c in found if abs(c.point[2] - 60) < 2]
    assert max(at_body, key=lambda c: c.response).label == label_of("T11")
    sure, _ = identify(ct(), [], STRAIGHT, Reader({60.0: "L1"}), RULE, heatmaps)
    assert max(sure, key=lambda c: c.response).label == label_of("L1")


def test_bodies_of_stage_2_are_the_maxima_of_all_heatmaps_together():
    heatmaps = heatmaps_of((3.0, -1.0, 60.0), {"T11": 0.2, "T12": 0.3})
    (body,) = find_bodies(heatmaps, 0.4, 3)
    assert body.point == pytest.approx((3.0, -1.0, 60.0), abs=0.5)
    assert body.response == pytest.approx(0.5, abs=0.1)
    assert find_bodies(heatmaps, 0.6, 3) == ()
