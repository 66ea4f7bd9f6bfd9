import os

from tests.helpers.batches import scans
from verse_infer.batch.case import stamp_of


def test_a_file_is_known_by_its_stamp(tmp_path):
    path = scans(tmp_path, "a.nii") / "a.nii"
    before = stamp_of(path)
    assert before != (0, 0)
    os.utime(path, ns=(1, 1))
    assert stamp_of(path) != before
    assert stamp_of(tmp_path / "none.nii") == (0, 0)
