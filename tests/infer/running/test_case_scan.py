import os

from tests.infer.running.test_batch import scans
from verse_infer.running.case_scan import read_scan, stamp_of


def test_a_scan_carries_the_stamp_of_its_file(tmp_path):
    path = scans(tmp_path, "a.nii") / "a.nii"
    assert read_scan(path, None).stamp == stamp_of(path) != (0, 0)
    before = stamp_of(path)
    os.utime(path, ns=(1, 1))
    assert stamp_of(path) != before
    assert stamp_of(tmp_path / "none.nii") == (0, 0)
