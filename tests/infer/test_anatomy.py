"""The tables of vertebrae agree with each other and with anatomy."""

from itertools import pairwise

import numpy as np
import pytest

from verse_infer.anatomy import (
    CRANIOCAUDAL_LABELS,
    LABELS,
    MEAN_OFFSETS_MM,
    VERTEBRAE,
    label_of,
    name_of,
    region_of,
    same_type_neighbours,
    successors_of,
    usual_distance_mm,
)


def names(labels):
    return [name_of(label) for label in labels]


def test_channels_are_c1_to_l6_and_t13():
    assert len(VERTEBRAE) == len(LABELS) == 26
    assert VERTEBRAE[0] == "C1"
    assert VERTEBRAE[-1] == "T13"
    assert names(LABELS) == list(VERTEBRAE)
    assert [label_of(name) for name in ("C1", "C7", "T1", "T12", "L1", "L6", "T13")] == [
        1, 7, 8, 19, 20, 25, 28,
    ]  # fmt: skip


def test_craniocaudal_order_holds_every_label_once_with_t13_between_t12_and_l1():
    assert sorted(CRANIOCAUDAL_LABELS) == sorted(LABELS)
    place = CRANIOCAUDAL_LABELS.index(28)
    assert CRANIOCAUDAL_LABELS[place - 1 : place + 2] == (19, 28, 20)


def test_regions_have_their_usual_size_and_the_variants():
    regions = [region_of(label) for label in LABELS]
    assert [regions.count(r) for r in ("cervical", "thoracic", "lumbar")] == [7, 13, 6]


@pytest.mark.parametrize("label", [0, 26, 27, 29])
def test_unknown_labels_are_refused(label):
    with pytest.raises(KeyError):
        name_of(label)
    with pytest.raises(KeyError):
        same_type_neighbours(label)


def test_successors_are_the_next_vertebra_and_the_known_variants():
    regular = [label for label in CRANIOCAUDAL_LABELS if label != 28]
    expected = set(pairwise(regular))
    variants = {("T11", "L1"), ("T12", "T13"), ("T13", "L1")}
    expected |= {(label_of(upper), label_of(lower)) for upper, lower in variants}
    assert set(MEAN_OFFSETS_MM) == expected


def test_successors_of_a_vertebra_with_variants():
    assert set(names(successors_of(label_of("T11")))) == {"T12", "L1"}
    assert set(names(successors_of(label_of("T12")))) == {"T13", "L1"}
    assert names(successors_of(label_of("L5"))) == ["L6"]
    assert successors_of(label_of("L6")) == ()


def test_mean_offsets_lead_down_and_grow_from_neck_to_loin():
    for (upper, lower), offset in MEAN_OFFSETS_MM.items():
        assert CRANIOCAUDAL_LABELS.index(upper) < CRANIOCAUDAL_LABELS.index(lower)
        assert offset[2] < -14
        assert abs(offset[0]) <= 1.2, "spines are symmetric on average"
        assert 15 < np.linalg.norm(offset) < 36


def test_mean_offsets_curve_as_a_spine_does():
    """y grows towards the back: the neck leads back, the lower thorax forth, the last disc back."""
    assert MEAN_OFFSETS_MM[label_of("C7"), label_of("T1")][1] > 5
    assert MEAN_OFFSETS_MM[label_of("T12"), label_of("L1")][1] < -3
    assert MEAN_OFFSETS_MM[label_of("L4"), label_of("L5")][1] > 3


def test_neighbours_of_the_same_type_stay_within_the_region():
    assert names(same_type_neighbours(label_of("C1"))) == ["C2"]
    assert names(same_type_neighbours(label_of("C7"))) == ["C6"]
    assert names(same_type_neighbours(label_of("T12"))) == ["T11", "T13"]
    assert names(same_type_neighbours(label_of("T13"))) == ["T12"]
    assert names(same_type_neighbours(label_of("L5"))) == ["L4", "L6"]


def test_usual_distances_go_by_the_shortest_way():
    l1, l2, t11, t12 = (label_of(name) for name in ("L1", "L2", "T11", "T12"))
    assert usual_distance_mm(l1, l2) == pytest.approx(np.linalg.norm(MEAN_OFFSETS_MM[l1, l2]))
    assert usual_distance_mm(t11, l1) == pytest.approx(np.linalg.norm(MEAN_OFFSETS_MM[t11, l1]))
    two = np.add(MEAN_OFFSETS_MM[t12, l1], MEAN_OFFSETS_MM[l1, l2])
    assert usual_distance_mm(t12, l2) == pytest.approx(np.linalg.norm(two))
    assert usual_distance_mm(label_of("C1"), label_of("L6")) > 400
    assert usual_distance_mm(l2, l1) is None
    assert usual_distance_mm(l1, l1) is None
