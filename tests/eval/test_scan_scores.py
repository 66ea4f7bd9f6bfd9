import numpy as np
import pytest

from tests.helpers.scenes import L1, L2, L3, boxes, centroids, label_map, scan, vertebra
from verse_eval.measures import MEASURES, all_identified, all_right
from verse_eval.scan_scores import Annotation, Tasks, score_scan
from verse_infer.anatomy import label_of
from verse_infer.ct import Centroid

SHAPE = (40, 12, 12)
T12 = label_of("T12")


def spine(shift=0, **tops):
    """Boxes of 6×6×6 mm from the given z on, with centroids in their middles; shift in x."""
    places = {label_of(k): ((z, z + 6), (3, 9), (3 + shift, 9 + shift)) for k, z in tops.items()}
    points = tuple(Centroid(k, (5.5 + shift, 5.5, r[0][0] + 2.5)) for k, r in places.items())
    return Annotation(points, label_map(boxes(SHAPE, places)))


def value(score, name):
    return MEASURES[name].of(score)


def test_the_truth_itself_is_perfect():
    truth = spine(L1=30, L2=20, L3=10)
    score = score_scan("a", truth, truth)
    assert score.labels == (L1, L2, L3)
    for name in ("id_rate", "id_rate_by_text", "dice", "label_accuracy"):
        assert value(score, name) == 1.0
    for name in ("d_mean_mm", "hd_mm", "hd95_mm", "assd_mm", "hd_penalised_mm"):
        assert value(score, name) == 0.0
    assert all_right(score)


def test_everything_one_voxel_off():
    """Boxes of 216 voxels share 5/6: Dice 5/6. The face that is left behind is 1 mm off: HD 1."""
    score = score_scan("a", spine(L1=30, L2=20), spine(shift=1, L1=30, L2=20))
    assert value(score, "dice") == pytest.approx(5 / 6)
    assert value(score, "hd_mm") == 1.0
    assert value(score, "d_mean_mm") == 1.0
    assert value(score, "id_rate") == 1.0


def test_a_missing_vertebra_under_both_rules():
    """L1 perfect, L2 missing. Ignored: 0 mm. Replaced: (0 + 1000)/2 and (0 + 100)/2 mm."""
    score = score_scan("a", spine(L1=30, L2=20), spine(L1=30))
    assert value(score, "id_rate") == 0.5
    assert value(score, "dice") == 0.5
    assert value(score, "d_mean_mm") == value(score, "hd_mm") == 0.0
    assert value(score, "d_mean_penalised_mm") == 500.0
    assert value(score, "hd_penalised_mm") == 50.0
    assert [v.centroid_missing for v in score.vertebrae] == [False, True]
    assert [v.mask_missing for v in score.vertebrae] == [False, True]
    assert not all_identified(score)


def test_no_prediction_at_all():
    score = score_scan("a", spine(L1=30, L2=20), Annotation())
    assert value(score, "id_rate") == value(score, "dice") == 0.0
    assert np.isnan(value(score, "d_mean_mm"))
    assert np.isnan(value(score, "hd_mm"))
    assert value(score, "d_mean_penalised_mm") == 1000.0
    assert value(score, "hd_penalised_mm") == 100.0


def test_an_extra_vertebra_spoils_the_scan_but_not_its_id_rate():
    score = score_scan("a", spine(L1=30, L2=20), spine(L1=30, L2=20, L3=10))
    assert score.extra == score.extra_in_mask == (L3,)
    assert all_identified(score)
    assert not all_right(score)


def test_names_shifted_by_one_level():
    """Right places, wrong names: L1 is called L2, L2 is called L3."""
    score = score_scan("a", spine(L1=30, L2=20), spine(L2=30, L3=20))
    assert score.matched == {L1: L2, L2: L3}
    assert value(score, "label_accuracy") == 0.0
    assert value(score, "dice") == 0.0
    assert score.extra == (L3,)


def test_voxels_without_a_centroid_are_a_vertebra_that_the_scan_cuts():
    """T12 is in the true mask but has no true centroid: neither annotated nor extra."""
    whole, with_cut = spine(L1=20, L2=10), spine(T12=30, L1=20, L2=10)
    truth = Annotation(whole.centroids, with_cut.mask)
    cautious, bold = score_scan("a", truth, whole), score_scan("a", truth, with_cut)
    assert cautious.labels == bold.labels == (L1, L2)
    assert cautious.cut == bold.cut == (T12,)
    assert cautious.cut_reported == ()
    assert bold.cut_reported == (T12,)
    assert bold.extra == bold.extra_in_mask == ()


def test_cut_vertebrae_may_be_annotated_by_centroids_alone():
    truth = Annotation(centroids(L1=0, L2=-30), None, centroids(T12=25))
    score = score_scan("a", truth, Annotation(centroids(T12=24, L1=0, L2=-30)))
    assert score.cut == score.cut_reported == (T12,)
    assert score.extra == ()
    assert np.isnan(value(score, "dice"))


def test_masks_alone_annotate_their_labels():
    truth = Annotation(None, spine(L1=30, L2=20).mask)
    score = score_scan("a", truth, truth, Tasks(labelling=False))
    assert score.labels == (L1, L2)
    assert value(score, "dice") == 1.0
    assert np.isnan(value(score, "id_rate"))


def test_a_team_without_labelling_is_not_measured_in_it():
    truth = spine(L1=30, L2=20)
    score = score_scan("a", truth, Annotation(None, truth.mask), Tasks(labelling=False))
    assert np.isnan(value(score, "id_rate"))
    assert np.isnan(value(score, "d_mean_penalised_mm"))
    assert value(score, "dice") == value(score, "label_accuracy") == 1.0


def test_centroids_count_where_a_mask_lacks_in_one_scan():
    truth = spine(L1=30, L2=20)
    score = score_scan("a", truth, Annotation(truth.centroids))
    assert value(score, "id_rate") == value(score, "label_accuracy") == 1.0
    assert value(score, "dice") == 0.0
    assert value(score, "hd_penalised_mm") == 100.0


def test_vertebrae_stand_from_head_to_foot_with_t13_in_its_place():
    truth = Annotation(centroids(L1=0, T13=30, T12=60, C1=90))
    names = [label_of(n) for n in ("C1", "T12", "T13", "L1")]
    assert list(score_scan("a", truth, truth).labels) == names


def test_the_grid_is_1_mm_whatever_the_file_has():
    """Boxes on a 2 mm grid, one voxel off: 2 mm."""
    places = {L1: ((2, 6), (2, 6), (2, 6))}
    moved = {L1: ((3, 7), (2, 6), (2, 6))}
    truth, found = (
        Annotation(None, label_map(boxes((10, 10, 10), p), (2.0, 2.0, 2.0)))
        for p in (places, moved)
    )
    score = score_scan("a", truth, found, Tasks(labelling=False))
    assert value(score, "hd_mm") == 2.0
    assert value(score, "dice") == 0.75


def test_a_scan_without_vertebrae_has_no_values():
    empty = scan("a")
    assert all(np.isnan(measure.of(empty)) for measure in MEASURES.values())


def test_measures_say_their_direction_rightly():
    """Each measure of a good vertebra is better than that of a bad one."""
    good = scan("a", vertebra(L1, hd95_mm=1.0, assd_mm=0.1))
    bad = scan(
        "a",
        vertebra(
            L1,
            False,
            distance_mm=30.0,
            dice=0.1,
            hd_mm=50.0,
            hd95_mm=40.0,
            assd_mm=9.0,
            assigned=L2,
        ),
    )
    for measure in MEASURES.values():
        better = measure.of(good) > measure.of(bad)
        assert better == (measure.better == "higher"), measure.name
