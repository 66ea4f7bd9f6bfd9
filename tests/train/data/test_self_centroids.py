"""Centroids by the container, made regular to train on: what is moved, filled, left out, ignored."""

import numpy as np
import pytest
from PIL import Image

from verse_infer.anatomy import label_of, name_of
from verse_infer.ct import Centroid
from verse_infer.errors import InputError
from verse_infer.grid import Lattice
from verse_train import cli as command
from verse_train.data.datasets import AnnotatedScan
from verse_train.data.prepared import load_prepared
from verse_train.data.pseudo_labels import answered_scans, regular_line, self_annotate
from verse_train.synthetic.anatomy_map import AnatomyMap
from verse_train.synthetic.scan_files import write_scan
from verse_train.synthetic.spine_curve import REGULAR, pose_spine

NECK = ("C2", "C3", "C4", "C5", "C6", "C7", "T1", "T2", "T3", "T4")
LATTICE = Lattice((-40.0, -40.0, -150.0), (2.0, 2.0, 2.5), (40, 50, 100))


def place(number):
    """A bent spine whose vertebrae grow from head to foot, LPS mm."""
    return (0.3 * number, 0.25 * (number - 4) ** 2, 60.0 - 17 * number - 0.2 * number**2)


def neck(names=NECK, moved=None):
    """Centroids on the bent spine, some of them moved by z mm."""
    return [
        Centroid(label_of(n), (x, y, z + (moved or {}).get(n, 0.0)))
        for n in names
        for x, y, z in [place(NECK.index(n))]
    ]


def points(centroids):
    return {name_of(c.label): np.array(c.point) for c in centroids}


def test_a_regular_spine_stays_where_it_is():
    found = points(regular_line(neck()))
    assert tuple(found) == NECK
    for number, name in enumerate(NECK):
        assert found[name] == pytest.approx(place(number), abs=0.01)


def test_one_that_was_found_too_high_moves_back():
    found = points(regular_line(neck(moved={"C6": 5.0})))
    for name in NECK:
        assert abs(found[name][2] - place(NECK.index(name))[2]) < 2.5


def test_one_that_was_not_found_is_filled_in():
    found = points(regular_line(neck([n for n in NECK if n != "C6"])))
    assert tuple(found) == NECK
    assert found["C6"] == pytest.approx(place(4), abs=0.5)


@pytest.mark.parametrize(
    "bodies",
    [
        neck([n for n in NECK if n not in ("C4", "C6")]),  # two are missing
        neck(moved={"C6": 14.0}),  # no regular spine goes through it
        neck(("C2", "C3", "C4")),  # too few to tell
        [],
    ],
)
def test_what_is_not_regular_is_left_out(bodies):
    assert regular_line(bodies) is None


def test_real_proportions_are_kept():
    """Spines as long as these, of varied size and curvature: their own places move by little."""
    for seed in range(20):
        spine = pose_spine(REGULAR[1:], np.random.default_rng(seed), 0.6)
        for first, last, limit in ((18, 23, 3.0), (0, 8, 2.0), (5, 18, 2.5), (0, 23, 4.0)):
            bodies = [Centroid(p.label, tuple(p.centre)) for p in spine[first:last]]
            line = regular_line(bodies)
            moved = [np.subtract(a.point, b.point) for a, b in zip(bodies, line, strict=True)]
            assert np.linalg.norm(moved, axis=1).mean() < limit


def test_a_missing_twelfth_thoracic_vertebra_is_not_filled_in():
    column = [n for n in REGULAR if n != "T12"]
    spine = pose_spine(column, np.random.default_rng(0), 0.0)
    bodies = [Centroid(p.label, tuple(p.centre)) for p in spine[column.index("T9") :]]
    assert regular_line(bodies) is None


def test_a_thirteenth_thoracic_vertebra_counts_where_it_was_found():
    names = ("T10", "T11", "T12", "T13", "L1", "L2")
    labels = [label_of(name) for name in names]
    bodies = [Centroid(label, (0.0, 0.0, -30.0 * i)) for i, label in enumerate(labels)]
    assert [c.label for c in regular_line(bodies)] == labels
    without = [c for c in bodies if c.label != label_of("T13")]
    evenly = [Centroid(c.label, (0.0, 0.0, -30.0 * i)) for i, c in enumerate(without)]
    assert [c.label for c in regular_line(evenly)] == [c.label for c in without]


@pytest.fixture
def answered(tmp_path):
    """A data set of one scan without annotations, and the container's answer to it."""
    ring = Centroid(label_of("C1"), (0.0, -3.0, 80.0))
    centroids = (ring, *neck(NECK[:-2], moved={"C6": 4.0}))
    hu = np.random.default_rng(0).normal(40, 10, LATTICE.shape).astype(np.int16)
    hu[:, :5] = -1000
    empty = np.zeros(LATTICE.shape, np.uint8)
    body = AnatomyMap(empty, empty, centroids, (), LATTICE)
    write_scan(tmp_path / "data", "sub-one", body, hu)
    answers = tmp_path / "answers" / "rawdata"
    answers.parent.mkdir()
    (tmp_path / "data" / "derivatives").rename(answers)
    return tmp_path / "data", tmp_path / "answers"


def test_an_answered_scan_becomes_a_case_with_a_picture(answered, tmp_path):
    scans = answered_scans(*answered)
    assert [scan.name for scan in scans] == ["one"]
    (path,) = self_annotate(scans, 2.0, 0.75, tmp_path / "cache", whole=False)
    case = load_prepared(path)
    found = points(case.centroids)
    assert tuple(found) == ("C1", *NECK[:-2])
    assert found["C1"] == pytest.approx((0.0, -3.0, 80.0), abs=1.5)
    assert abs(found["C6"][2] - place(4)[2]) < 3
    # The scan goes on below: what may be there is neither target nor error.
    assert [name_of(c.label) for c in case.cut] == ["T3", "T4"]
    with Image.open(tmp_path / "cache" / "one_2mm.png") as picture:
        assert picture.width > 50


def test_rejected_scans_and_held_out_patients_are_left_out_of_an_earlier_cache(answered, tmp_path):
    data, answers = map(str, answered)
    base = ["self-annotate", "--stage", "vertebra_localisation", "--data", data]
    base += ["--answers", answers, "--cache", str(tmp_path / "cache")]
    for option in ("--reject", "--without"):
        assert command.main(base) == 0
        (path,) = (tmp_path / "cache").glob("*.npz")
        assert load_prepared(path).lattice.spacing == (2.0,) * 3
        assert command.main([*base, option, "one"]) == 0
        assert not list((tmp_path / "cache").glob("*.npz"))
    assert command.main([*base, "--reject", "sub-one"]) == 2


def test_stage_1_keeps_the_whole_width(answered, tmp_path):
    base = ["self-annotate", "--stage", "spine_localisation", "--data", str(answered[0])]
    base += ["--answers", str(answered[1]), "--cache", str(tmp_path / "cache")]
    assert command.main(base) == 0
    assert load_prepared(tmp_path / "cache" / "one_4mm.npz").lattice.spacing == (4.0,) * 3


def test_no_answers_at_all_are_an_error(answered, tmp_path):
    with pytest.raises(InputError, match="expected centroids"):
        answered_scans(answered[0], tmp_path)
    assert isinstance(answered_scans(*answered)[0], AnnotatedScan)
