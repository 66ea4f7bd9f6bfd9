from pathlib import Path

import pytest

from verse_infer.errors import UsageError
from verse_infer.files.verse import is_derivative, output_names

OUT = Path("/out")


def test_bids_like_names_mirror_the_folder():
    names = output_names(Path("sub-verse004/sub-verse004_ct.nii.gz"), OUT, "verse")
    assert [p.relative_to(OUT).as_posix() for p in names.all()] == [
        "sub-verse004/sub-verse004_seg-subreg_ctd.json",
        "sub-verse004/sub-verse004_seg-vert_msk.nii.gz",
        "sub-verse004/sub-verse004_seg-vert_snp.png",
        "sub-verse004/sub-verse004_seg-vert_report.json",
    ]


@pytest.mark.parametrize(
    ("convention", "ending"), [("verse", "_ctd"), ("verse19", "_ctd"), ("verse20", "_iso-ctd")]
)
def test_other_names_get_the_challenge_endings(convention, ending):
    names = output_names(Path("a b/verse 12.nii"), OUT, convention)
    assert [p.name for p in names.all()] == [
        f"verse 12{ending}.json",
        "verse 12_seg.nii.gz",
        "verse 12_snp.png",
        "verse 12_report.json",
    ]
    assert names.mask.parent == OUT / "a b"


@pytest.mark.parametrize("case", ["../x.nii.gz", "/x.nii.gz", "a/../../x.nii", "notes.txt"])
def test_nothing_is_written_elsewhere(case):
    with pytest.raises(UsageError):
        output_names(Path(case), OUT, "verse")


@pytest.mark.parametrize(
    ("name", "derivative"),
    [
        ("verse004_seg.nii.gz", True),
        ("sub-verse004_seg-vert_msk.nii.gz", True),
        ("derivatives/sub-1/sub-1_ct.nii.gz", True),
        ("case_mask.nii", True),
        ("sub-1_dseg.nii.gz", True),
        ("labels.nii.gz", True),
        ("verse004.nii.gz", False),
        ("sub-verse004_ct.nii.gz", False),
        ("segovia.nii.gz", False),
        ("masked-man.nii.gz", False),
        ("vertebrae/scan.nii.gz", False),
    ],
)
def test_masks_are_told_from_scans(name, derivative):
    assert is_derivative(Path(name)) is derivative
