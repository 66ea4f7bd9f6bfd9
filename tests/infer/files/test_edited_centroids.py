"""Centroid files that a person edited, in whatever editor, spreadsheet or programme."""

import json

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.batches import FakePipeline, report, run, scans
from verse_infer.ct import Centroid, SourceGeometry
from verse_infer.errors import CentroidFileError
from verse_infer.files.verse import read_centroids

SOURCE = SourceGeometry.of(np.diag([-1.0, -1.0, 2.0, 1.0]), (20, 30, 40), nib.Nifti1Header())
ENTRIES = [
    {"direction": ["L", "P", "S"]},
    {"label": 8, "X": 5.0, "Y": 12.5, "Z": 30.0},
    {"label": 20, "X": 6.0, "Y": 14.0, "Z": 10.25},
]
TEXT = json.dumps(ENTRIES, indent=1)
EXPECTED = (Centroid(8, (5.0, 12.5, 60.0)), Centroid(20, (6.0, 14.0, 20.5)))


def edited(**changes):
    """The first vertebra's entry changed."""
    return json.dumps([ENTRIES[0], {**ENTRIES[1], **changes}, ENTRIES[2]]).encode()


FILES = {
    "byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "CR LF": TEXT.replace("\n", "\r\n").encode(),
    "both": b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode(),
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16, no mark": TEXT.encode("utf-16-le"),
    "UTF-16, big end first": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "UTF-32": TEXT.encode("utf-32"),
    "blank lines around": b"\n\n" + TEXT.encode() + b"\r\n\r\n",
    "float for a label": edited(label=8.0),
    "rounded label": edited(label=7.9999999),
    "integers for places": json.dumps(
        [ENTRIES[0], {"label": 8, "X": 5, "Y": 12.5, "Z": 30}, ENTRIES[2]]
    ).encode(),
    "texts for numbers": edited(label="8", X="5.0", Y="12.5", Z="3e1"),
    "more keys": edited(name="T1", comment="looks tilted", W=None, color=[1, 2]),
    "more keys beside the direction": json.dumps(
        [{**ENTRIES[0], "zoom": [1, 1, 2], "shape": [20, 30, 40]}, *ENTRIES[1:]]
    ).encode(),
    "direction last": json.dumps([*ENTRIES[1:], ENTRIES[0]]).encode(),
    **{
        f"label {label}": json.dumps([*ENTRIES, {**ENTRIES[2], "label": label}]).encode()
        for label in (26, 27, 26.0)
    },
    "both below": json.dumps([*ENTRIES, *({**ENTRIES[2], "label": k} for k in (26, 27))]).encode(),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_a_person_edited_is_read(tmp_path, kind):
    (tmp_path / "x_ctd.json").write_bytes(FILES[kind])
    found = read_centroids(tmp_path / "x_ctd.json", SOURCE)
    assert [c.label for c in found] == [8, 20]
    for one, other in zip(found, EXPECTED, strict=True):
        assert one.point == pytest.approx(other.point)


@pytest.mark.parametrize("label", [26, 27])
def test_what_is_passed_over_is_said(tmp_path, label, caplog):
    (tmp_path / "x_ctd.json").write_bytes(FILES[f"label {label}"])
    with caplog.at_level("INFO"):
        read_centroids(tmp_path / "x_ctd.json", SOURCE)
    assert f"x_ctd.json: labels [{label}] are no vertebrae: passed over" in caplog.text


REFUSED = {
    "a name": (edited(label="T1"), "'label': 'T1'"),
    "between two labels": (edited(label=8.3), "8.3"),
    "unknown label": (edited(label=29), "29"),
    "a decimal comma": (edited(X="5,0"), "5,0"),
    "no number": (edited(Z=None), "None"),
    "not finite": (edited(Y=float("nan")), "nan"),
    "twice": (edited(label=20), r"each label once"),
    "another code page": ("[{“label”: 8}]".encode("cp1252"), "got: "),
    "a comma too many": (TEXT.replace("]\n}", "],\n}").encode() + b",", "line"),
    "nothing": (b"", "got: "),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_meant_is_refused_with_file_expected_and_got(tmp_path, kind):
    content, said = REFUSED[kind]
    (tmp_path / "x_ctd.json").write_bytes(content)
    with pytest.raises(CentroidFileError, match="expected") as caught:
        read_centroids(tmp_path / "x_ctd.json", SOURCE)
    assert "x_ctd.json" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", ["both", "UTF-16", "label 26"])
def test_the_container_takes_edited_files(tmp_path, kind):
    source, edits = scans(tmp_path / "in", "a.nii"), tmp_path / "edited"
    edits.mkdir()
    (edits / "a_ctd.json").write_bytes(FILES[kind])
    run(source, tmp_path / "out", FakePipeline(), centroids_from=edits)
    (case,) = report(tmp_path / "out")["cases"]
    assert case["status"] == "succeeded", case
    codes = [flag["code"] for flag in case["flags"]]
    assert ("labels_passed_over" in codes) == (kind == "label 26")
