"""A body of boxes, written by the test: skin and rib cage are hollow, the others solid."""

import csv
import itertools

import numpy as np
import pytest

from verse_infer.anatomy import label_of
from verse_infer.grid import Lattice
from verse_train.synthetic import atlas
from verse_train.synthetic.anatomy_map import Tissue
from verse_train.synthetic.atlas import Part, voxelise_body

pytest.importorskip("vtk")

#: Name in parts.csv, lower and upper corner of a box; LPS mm; no face on a voxel centre.
BOXES = {
    "Skin": ((-142, -152, 762), (142, 58, 1618)),
    "Right lobe of liver": ((21, -101, 951), (101, -21, 1049)),
    "Third lumbar vertebra": ((-23, -32, 998), (23, 32, 1032)),
    "Atlas": ((-42, -23, 1478), (42, 23, 1502)),
    "Left second rib": ((-98, -117, 1198), (98, -2, 1302)),
    "Unknown thing": ((-102, -102, 802), (-62, -62, 842)),
}
HOLLOW = {"Skin": 6.0, "Left second rib": 14.0}
SPACING = 5.0
FACES = (
    *((0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)),
    *((2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)),
)


def write_box(path, low, high, wall=0.0):
    """A closed box of twelve triangles as an ASCII PLY; with a wall a second box inside it."""
    corners = list(itertools.product(*zip(low, high, strict=True)))
    faces = list(FACES)
    if wall:
        inner = zip(np.add(low, wall), np.subtract(high, wall), strict=True)
        corners += itertools.product(*inner)
        faces += [(c + 8, b + 8, a + 8) for a, b, c in FACES]
    head = (
        f"ply\nformat ascii 1.0\nelement vertex {len(corners)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    lines = [f"{x} {y} {z}" for x, y, z in corners] + [f"3 {a} {b} {c}" for a, b, c in faces]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + "\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("atlas")
    with (root / "parts.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["fj", "name"])
        for number, (name, box) in enumerate(BOXES.items()):
            rows.writerow([f"FJ{number}", name])
            write_box(root / "some" / f"FJ{number}_{name}.ply", *box, HOLLOW.get(name, 0.0))
        rows.writerow(["FJ99", "Fourth lumbar vertebra"])  # without a file
    return root


@pytest.fixture(scope="module")
def body(folder):
    return voxelise_body(folder, SPACING)


def inside(body, name, margin=0.0):
    """Voxels whose centre lies inside a part's box, at least a margin from its faces."""
    low, high = np.add(BOXES[name][0], margin), np.subtract(BOXES[name][1], margin)
    k, j, i = np.indices(body.lattice.shape)
    points = body.lattice.point(np.stack([i, j, k], axis=-1))
    return ((points > low) & (points < high)).all(axis=-1)


def test_the_lattice_covers_the_trunk_at_the_wanted_spacing(body):
    assert body.lattice.spacing == (SPACING,) * 3
    assert body.lattice.origin == atlas.LOW
    last = body.lattice.corners().max(axis=0)
    assert (last <= atlas.HIGH).all()
    assert (last > np.array(atlas.HIGH) - SPACING).all()


@pytest.mark.parametrize(("name", "level"), [("Third lumbar vertebra", "L3"), ("Atlas", "C1")])
def test_vertebrae_have_their_labels_and_nothing_else(body, name, level):
    assert np.array_equal(body.vertebrae == label_of(level), inside(body, name))
    assert (body.tissue[body.vertebrae > 0] == Tissue.VERTEBRA).all()


def test_labels_of_absent_vertebrae_are_absent(body):
    assert set(np.unique(body.vertebrae)) == {0, label_of("C1"), label_of("L3")}


def test_centroids_lie_in_the_middle_head_to_foot(body):
    assert [c.label for c in body.centroids] == [label_of("C1"), label_of("L3")]
    assert body.centroids[0].point == pytest.approx((0, 0, 1490), abs=SPACING)
    assert body.centroids[1].point == pytest.approx((0, 0, 1015), abs=SPACING)


def test_tissues_go_by_the_names_and_vertebrae_are_drawn_last(body):
    liver = inside(body, "Right lobe of liver")
    spine = inside(body, "Third lumbar vertebra")
    assert (body.tissue[liver & ~spine] == Tissue.SOFT_ORGAN).all()
    assert (body.tissue[liver & spine] == Tissue.VERTEBRA).all()
    cage = inside(body, "Left second rib") & ~inside(body, "Left second rib", 14.0)
    assert (body.tissue[cage] == Tissue.RIB).all()


def test_what_no_part_fills_is_fat_below_the_skin_and_muscle_deeper(body):
    # The lungs reach 14 mm above and below the cage.
    named = inside(body, "Left second rib", -15.0)
    for name in ("Right lobe of liver", "Third lumbar vertebra", "Atlas"):
        named |= inside(body, name)
    skin = inside(body, "Skin")
    # Gaps of two slices are closed, so that the body may reach this far beyond its ends.
    assert (body.tissue[~inside(body, "Skin", -11.0)] == Tissue.AIR).all()
    assert (body.tissue[skin & ~inside(body, "Skin", 6.0)] == Tissue.SKIN).all()
    assert (body.tissue[inside(body, "Skin", 18.0) & ~named] == Tissue.MUSCLE).all()
    below_skin = inside(body, "Skin", 6.0) & ~inside(body, "Skin", 11.0)
    middle = body.tissue[90][below_skin[90]]
    assert (middle == Tissue.FAT).all()
    assert middle.size > 50
    # A part of unknown name is not drawn.
    assert (body.tissue[inside(body, "Unknown thing", 0.0)] == Tissue.MUSCLE).all()


def test_the_inside_of_the_rib_cage_is_lung(body):
    assert (body.tissue[inside(body, "Left second rib", 14.0)] == Tissue.LUNG).all()
    # Ribs slope, so that the cage of a slice is looked for up to 14 mm above and below.
    assert not (body.tissue[~inside(body, "Left second rib", -15.0)] == Tissue.LUNG).any()
    middle = int(body.lattice.index((0, 0, 1250))[2])
    beside = ~inside(body, "Left second rib")[middle]
    assert not (body.tissue[middle][beside] == Tissue.LUNG).any()


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("atlas", "C1"),
        ("axis", "C2"),
        ("seventh cervical vertebra", "C7"),
        ("first thoracic vertebra", "T1"),
        ("twelfth thoracic vertebra", "T12"),
        ("fifth lumbar vertebra", "L5"),
    ],
)
def test_names_in_words_give_verse_labels(name, level, tmp_path):
    assert Part(name, tmp_path).vertebra == label_of(level)


@pytest.mark.parametrize(
    "name",
    ["skin", "intervertebral disk of third lumbar vertebra", "lumbar vertebra", "first rib"],
)
def test_other_names_are_no_vertebra(name, tmp_path):
    assert Part(name, tmp_path).vertebra == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("anterior papillary muscle of right ventricle", Tissue.BLOOD),
        ("thyroid cartilage", Tissue.CARTILAGE),
        ("left psoas major", Tissue.MUSCLE),
        ("intervertebral disk of third lumbar vertebra", Tissue.DISC),
        ("left hip bone", Tissue.OTHER_BONE),
        ("sacrum", Tissue.SACRUM),
    ],
)
def test_the_last_matching_pattern_decides_the_tissue(name, kind):
    assert dict(atlas._TISSUES)[atlas._pattern_of(name)] == kind


def test_a_part_outside_the_lattice_has_no_voxels(tmp_path):
    write_box(tmp_path / "leg.ply", (-50, -50, 100), (50, 50, 500))
    lattice = Lattice(atlas.LOW, (5.0,) * 3, (75, 59, 181))
    _, found = atlas._voxels_inside(tmp_path / "leg.ply", lattice)
    assert found.size == 0


def test_a_part_cut_by_the_lattice_is_drawn_as_far_as_it_goes(tmp_path):
    write_box(tmp_path / "arm.ply", (150, -50, 900), (400, 50, 1000))
    lattice = Lattice(atlas.LOW, (5.0,) * 3, (75, 59, 181))
    box, found = atlas._voxels_inside(tmp_path / "arm.ply", lattice)
    assert box[2].stop == 75
    assert found.mean() > 0.7
