"""From a folder of reference and three folders of predictions to a ranking page."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.scenes import L1, L2, L3, affine_of, boxes, save_centroids, save_mask
from verse_eval.cli import main
from verse_infer.anatomy import label_of

SCANS = 12
#: Places of three vertebrae on a grid with axes P, I, R: x to posterior, y to inferior, z to the
#: right; 1 mm.
SHAPE = (14, 40, 14)
TOPS = {L1: 4, L2: 14, L3: 24}
AFFINE = affine_of("PIR")


def vertebrae(shift, names=(L1, L2, L3)):
    """Labels (i, j, k) and centroids of boxes of 6×6×6 mm, shifted to the right."""
    places = {
        name: ((4, 10), (top, top + 6), (4 + shift, 10 + shift))
        for name, top in zip(names, TOPS.values(), strict=False)
    }
    points = {k: tuple((a + b - 1) / 2 for a, b in r) for k, r in places.items()}
    return boxes(SHAPE, places), points


def write_restructured(root, name, labels, points):
    base = root / "derivatives" / f"sub-{name}" / f"sub-{name}"
    save_mask(Path(f"{base}_seg-vert_msk.nii.gz"), labels, AFFINE)
    save_centroids(Path(f"{base}_seg-subreg_ctd.json"), points, "PIR")


def write_verse20(root, name, labels, points):
    save_mask(root / name / f"{name}_seg.nii.gz", labels, AFFINE, np.int16)
    save_centroids(root / name / f"{name}_iso-ctd.json", points)


def write_verse19(root, name, labels, points):
    """Turned to other axes; X to inferior, Y to posterior, Z to the left from the right corner."""
    image = nib.Nifti1Image(labels, AFFINE)
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt("LSA")
    )
    turned = image.as_reoriented(turn)
    save_mask(root / f"{name}_seg.nii.gz", np.asarray(turned.dataobj), turned.affine, np.float32)
    places = {k: (y, x, SHAPE[2] - 1 - z) for k, (x, y, z) in points.items()}
    save_centroids(root / f"{name}_ctd.json", places)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Reference and three teams: exact, up to 2 mm off, and named one level too low."""
    root = tmp_path_factory.mktemp("challenge")
    for i in range(SCANS):
        name = f"verse{i:03}"
        write_restructured(root / "reference", name, *vertebrae(0))
        write_verse19(root / "exact", name, *vertebrae(0))
        write_verse20(root / "near", name, *vertebrae(1 + i % 2))
        write_restructured(root / "low", name, *vertebrae(0, (L2, L3, label_of("L4"))))
    return root


@pytest.fixture(scope="module")
def scored(folders):
    """The three commands of docs/evaluation.md, run once."""
    teams = [f"{team}={folders / team}" for team in ("exact", "near", "low")]
    scores, ranking = folders / "scores", folders / "ranking"
    report = folders / "report.html"
    commands = (
        ["score", "--reference", folders / "reference", "--prediction", *teams],
        ["rank", "--scores", scores, "--scheme", "verse20", "--output", ranking],
        ["report", "--scores", scores, "--ranking", ranking, "--output", report],
    )
    commands[0].extend(["--output", scores, "--csv", folders / "tables"])
    for command in commands:
        assert main([str(word) for word in command]) == 0
    return folders


def measures(folders, team):
    content = json.loads((folders / "scores" / f"{team}.json").read_text())
    return [entry["measures"] for entry in content["scans"]], content


def test_three_commands_make_a_ranking_page(scored):
    page = (scored / "report.html").read_text()
    assert "Ranking (verse20)" in page
    assert all(team in page for team in ("exact", "near", "low"))
    table = (scored / "ranking" / "ranking.csv").read_text().splitlines()
    # Exact beats both in Dice, and low in id.rate: 2/3 · 2/3 + 1/3 · 1/3; near beats low only.
    assert table[1].startswith("1,exact,0.5556")
    assert table[2].startswith("2,near,0.3333")
    assert table[3].startswith("3,low,0.0000")


def test_the_picture_is_a_png_of_some_size(scored):
    data = (scored / "ranking" / "pvalues.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert min(struct.unpack(">II", data[16:24])) > 300


def test_conventions_and_orientations_do_not_matter(scored):
    """Team exact holds the truth in VerSe'19 names, axes L S A, floats."""
    for values in measures(scored, "exact")[0]:
        assert values["id_rate"] == values["dice"] == 1.0
        assert values["d_mean_mm"] == pytest.approx(0.0, abs=1e-9)
        assert values["hd_mm"] == 0.0


def test_verse20_names_and_distances(scored):
    """One or two voxels of six off: Dice 5/6 or 4/6, and as many mm."""
    for i, values in enumerate(measures(scored, "near")[0]):
        off = 1 + i % 2
        assert values["dice"] == pytest.approx(1 - off / 6)
        assert values["hd_mm"] == off
        assert values["d_mean_mm"] == pytest.approx(off)
        assert values["id_rate"] == 1.0


def test_scans_named_one_level_off_are_told(scored):
    _, content = measures(scored, "low")
    assert all(entry["shift"] == "down" for entry in content["scans"])
    assert content["summaries"][0]["pooled"]["shifted_down"] == SCANS


def test_tables_are_written_per_team(scored):
    assert sorted(p.name for p in (scored / "tables").iterdir()) == [
        "exact.csv",
        "low.csv",
        "near.csv",
    ]


def test_one_prediction_makes_one_file_and_jobs_do_not_matter(folders, tmp_path):
    outputs = []
    for jobs in (1, 3):
        path = tmp_path / f"{jobs}.json"
        words = ["score", "--reference", folders / "reference", "--prediction", folders / "near"]
        assert main([str(w) for w in (*words, "--output", path, "--jobs", jobs)]) == 0
        outputs.append(path.read_bytes())
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0])["team"] == "near"


def test_phases_from_a_list_and_from_a_folder(scored, tmp_path):
    (tmp_path / "public.txt").write_text("sub-verse000\nsub-verse001\n")
    for i in range(2, SCANS):
        save_centroids(tmp_path / "hidden" / f"verse{i:03}_ctd.json", {L1: (0, 0, 0)})
    phases = [f"public={tmp_path / 'public.txt'}", f"hidden={tmp_path / 'hidden'}"]
    words = ["rank", "--scores", scored / "scores", "--scheme", "verse19", "--phase", *phases]
    assert main([str(w) for w in (*words, "--output", tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "pvalues_hidden_hd_penalised_mm.csv").exists()


def test_a_team_may_have_its_scans_in_several_files(scored, tmp_path):
    """Public and hidden scans scored one by one; the same file twice is refused."""
    files = [f"{team}={scored / 'scores' / team}.json" for team in ("exact", "near")]
    words = ["rank", "--scheme", "verse20", "--output", str(tmp_path), "--scores"]
    assert main([*words, *files]) == 0
    assert main([*words, *files, *files]) == 2


def test_lost_and_damaged_predictions_are_scored_as_nothing_and_told(folders, tmp_path, capsys):
    prediction = tmp_path / "team"
    for i in range(2, SCANS):
        write_verse20(prediction, f"verse{i:03}", *vertebrae(0))
    (prediction / "verse002" / "verse002_iso-ctd.json").write_text("{")
    (prediction / "verse003" / "verse003_seg.nii.gz").unlink()
    words = ["score", "--reference", folders / "reference", "--prediction", prediction]
    assert main([str(w) for w in (*words, "--output", tmp_path / "s.json")]) == 3
    scans = {s["name"]: s for s in json.loads((tmp_path / "s.json").read_text())["scans"]}
    assert scans["verse000"]["problem"] == "no prediction"
    assert scans["verse000"]["measures"]["id_rate"] == 0.0
    assert scans["verse002"]["problem"].startswith("cannot be read")
    assert scans["verse003"]["problem"] == "no mask"
    assert scans["verse003"]["measures"]["id_rate"] == 1.0
    assert scans["verse003"]["measures"]["dice"] == 0.0
    assert "verse001: no prediction" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["score", "--reference", "none", "--prediction", "none", "--output", "x.json"],
        ["score", "--reference", ".", "--prediction", "a=x", "a=y", "--output", "x"],
        ["rank", "--scores", "none.json", "--scheme", "verse20", "--output", "x"],
        ["report", "--scores", "none.json", "--output", "x.html"],
    ],
)
def test_wrong_usage_is_refused_with_2(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert not list(tmp_path.iterdir())


def turned_files(root, name, axes, labels, points):
    """A mask in another orientation, and its CT and centroids in that of the reference."""
    image = nib.Nifti1Image(labels, AFFINE)
    wanted = nib.orientations.axcodes2ornt(axes)
    turn = nib.orientations.ornt_transform(nib.io_orientation(AFFINE), wanted)
    turned = image.as_reoriented(turn)
    base = root / "derivatives" / f"sub-{name}" / f"sub-{name}"
    save_mask(Path(f"{base}_seg-vert_msk.nii.gz"), np.asarray(turned.dataobj), turned.affine)
    save_centroids(Path(f"{base}_seg-subreg_ctd.json"), points, "PIR")
    save_mask(root / "rawdata" / f"sub-{name}_ct.nii.gz", np.zeros(SHAPE), AFFINE, np.int16)


def scored_scan(tmp_path, reference, prediction):
    """Exit code and the one scan's entry, None where nothing was scored."""
    output = tmp_path / "scores.json"
    words = ["--reference", reference, "--prediction", prediction, "--output", output]
    code = main(["score", *map(str, words)])
    return code, json.loads(output.read_text())["scans"][0] if output.exists() else None


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAL"])
def test_a_mask_may_be_stored_otherwise_than_its_ct(tmp_path, axes):
    labels, points = vertebrae(0)
    write_restructured(tmp_path / "ref", "verse000", labels, points)
    turned_files(tmp_path / "out", "verse000", axes, labels, points)
    code, scan = scored_scan(tmp_path, tmp_path / "ref", tmp_path / "out")
    assert code == 0
    assert scan["measures"]["dice"] == scan["measures"]["id_rate"] == 1.0


def other_mask(folder, affine, shape=SHAPE):
    (mask,) = folder.rglob("*_msk.nii.gz")
    save_mask(mask, np.full(shape, L1), affine)


#: Affine and shape of a mask beside a CT and centroids on another grid.
OTHER_GRIDS = {
    "no place stated": (np.eye(4), SHAPE),
    "two voxels away": (AFFINE + np.array([[0, 0, 0, 2], *[[0] * 4] * 3]), SHAPE),
    "coarser": (AFFINE @ np.diag([2, 2, 2, 1]), (7, 20, 7)),
}


@pytest.mark.parametrize("kind", OTHER_GRIDS)
def test_a_mask_on_another_grid_than_its_ct_leaves_its_centroids_no_grid(tmp_path, kind, capsys):
    labels, points = vertebrae(0)
    for side in ("ref", "out"):
        turned_files(tmp_path / side, "verse000", "PIR", labels, points)
    other_mask(tmp_path / "out", *OTHER_GRIDS[kind])
    code, scan = scored_scan(tmp_path, tmp_path / "ref", tmp_path / "out")
    assert code == 3
    assert "not on the grid of its CT" in scan["problem"]
    assert "sub-verse000_seg-vert_msk.nii.gz" in scan["problem"]
    assert "expected 14×40×14 voxels of 1×1×1 mm, axes PIR" in scan["problem"]
    code, scan = scored_scan(tmp_path / "none", tmp_path / "out", tmp_path / "ref")
    assert (code, scan) == (2, None)
    assert "not on the grid of its CT" in capsys.readouterr().err


@pytest.mark.parametrize("shift", [30.0, 500.0])
def test_a_mask_that_lost_its_header_is_told_not_scored_beside_its_reference(tmp_path, shift):
    labels, points = vertebrae(0)
    for side in ("ref", "out"):
        write_restructured(tmp_path / side, "verse000", labels, points)
    affine = AFFINE.copy()
    affine[2, 3] += shift
    other_mask(tmp_path / "out", affine)
    code, scan = scored_scan(tmp_path, tmp_path / "ref", tmp_path / "out")
    assert code == 3
    assert "not in the space of its reference: expected 14×40×14 voxels" in scan["problem"]


def test_a_mask_on_a_grid_of_its_own_is_compared_in_space(tmp_path):
    labels, points = vertebrae(0)
    write_restructured(tmp_path / "ref", "verse000", labels, points)
    finer = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    finer[:3, 3] = (AFFINE @ [-0.25, -0.25, -0.25, 1])[:3]
    mask = tmp_path / "out" / "verse000_seg.nii.gz"
    save_mask(mask, labels.repeat(2, 0).repeat(2, 1).repeat(2, 2), finer)
    _, scan = scored_scan(tmp_path, tmp_path / "ref", tmp_path / "out")
    assert scan["measures"]["dice"] == 1.0


def refiled(root, kind):
    """A prediction's files as others write them; everything is still right."""
    (centroids,) = root.rglob("*_ctd.json")
    (mask,) = root.rglob("*_msk.nii.gz")
    entries = json.loads(centroids.read_text())
    if kind == "windows":
        text = json.dumps(entries, indent=1).replace("\n", "\r\n")
        centroids.write_bytes(b"\xef\xbb\xbf" + text.encode())
    elif kind in ("sacrum", "coccyx"):
        label = {"sacrum": 26, "coccyx": 27}[kind]
        centroids.write_text(json.dumps([*entries, {**entries[-1], "label": label}]))
    elif kind == "floats":
        more = [
            e | {"label": float(e["label"]), "name": "?"} if "label" in e else e for e in entries
        ]
        centroids.write_text(json.dumps(more))
    else:
        image = nib.load(mask)
        header = image.header.copy()
        header.set_slope_inter(None, None)
        values = np.asarray(image.dataobj).astype(float)
        nib.save(nib.Nifti1Image(values, image.affine, header), mask)


@pytest.mark.parametrize("side", ["ref", "out"])
@pytest.mark.parametrize("kind", ["windows", "sacrum", "coccyx", "floats", "scaled"])
def test_files_of_other_programmes_score_as_their_content(tmp_path, kind, side):
    labels, points = vertebrae(0)
    for folder in ("ref", "out"):
        write_restructured(tmp_path / folder, "verse000", labels, points)
    refiled(tmp_path / side, kind)
    code, scan = scored_scan(tmp_path, tmp_path / "ref", tmp_path / "out")
    assert code == 0, scan
    assert scan["measures"]["dice"] == scan["measures"]["id_rate"] == 1.0


def test_lists_of_scans_may_come_from_any_editor(scored, tmp_path):
    lists = {}
    for phase, start in (("public", 0), ("hidden", SCANS // 2)):
        names = "\r\n".join(f"verse{i:03}" for i in range(start, start + SCANS // 2))
        lists[phase] = tmp_path / f"{phase}.txt"
        lists[phase].write_bytes(names.encode("utf-16" if start else "utf-8-sig"))
    words = ["rank", "--scores", scored / "scores", "--scheme", "verse20", "--output", tmp_path]
    phases = [f"{phase}={path}" for phase, path in lists.items()]
    assert main([*map(str, words), "--phase", *phases]) == 0


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(tmp_path, closed):
    labels, points = vertebrae(0)
    for folder in ("ref", "out"):
        write_restructured(tmp_path / folder, "verse000", labels, points)
    words = [sys.executable, "-m", "verse_eval", "score", "--output", "scores.json"]
    words += ["--reference", str(tmp_path / "ref"), "--prediction", str(tmp_path / "out")]
    code = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        check=False,
    ).returncode
    assert code == 0
    assert json.loads((tmp_path / "scores.json").read_text())["scans"][0]["measures"]["dice"] == 1.0
