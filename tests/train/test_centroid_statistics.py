"""Mean offsets from landmark files: reading, counting each scan once, rare anatomies."""

from pathlib import Path

import numpy as np
import pytest

from verse_infer.anatomy import MEAN_OFFSETS_MM, label_of
from verse_train.centroid_statistics import (
    expected_offsets,
    format_table,
    main,
    offset_statistics,
    read_landmarks,
    read_unique_scans,
)

LANDMARKS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "landmarks"


def row(name, centroids, channels=26):
    """One CSV line; centroids: vertebra index in channel order to x, y, z."""
    cells = [centroids.get(channel, ("nan",) * 3) for channel in range(channels)]
    return ",".join([name, *(str(value) for cell in cells for value in cell)])


def write_landmarks(folder, older, newer):
    (folder / "verse2019_landmarks.csv").write_text("\n".join(older) + "\n")
    (folder / "verse2020_landmarks.csv").write_text("\n".join(newer) + "\n")


def test_reading_gives_labels_head_to_foot_with_t13_before_l1(tmp_path):
    file = tmp_path / "landmarks.csv"
    file.write_text(row("verse1", {19: (3, 3, 3), 25: (2, 2, 2), 18: (1, 1, 1)}))
    scan = read_landmarks(file)["verse1"]
    assert list(scan) == [label_of("T12"), label_of("T13"), label_of("L1")]
    assert scan[label_of("T13")].tolist() == [2, 2, 2]


def test_files_of_2019_have_no_t13(tmp_path):
    file = tmp_path / "landmarks.csv"
    file.write_text(row("verse1", {0: (1, 2, 3), 24: (4, 5, 6)}, channels=25))
    assert list(read_landmarks(file)["verse1"]) == [label_of("C1"), label_of("L6")]


def test_words_in_place_of_numbers_are_refused(tmp_path):
    file = tmp_path / "landmarks.csv"
    file.write_text("verse1,a,b,c\n")
    with pytest.raises(ValueError, match="could not convert"):
        read_landmarks(file)


def test_a_scan_in_both_challenges_counts_once_as_annotated_in_2020(tmp_path):
    write_landmarks(
        tmp_path,
        [row("verse255", {0: (9, 9, 9)}, 25), row("verse006", {0: (1, 1, 1)}, 25)],
        [row("verse403_verse255_CT-sag", {0: (5, 5, 5)}), row("GL003", {0: (7, 7, 7)})],
    )
    scans = read_unique_scans(tmp_path)
    assert set(scans) == {"verse255", "verse006", "GL003"}
    assert scans["verse255"][1].tolist() == [5, 5, 5]


def test_statistics_join_only_vertebrae_that_follow_each_other():
    """L1 to L2 twice: steps (0, 0, -30) and (0, 2, -32); no pair L1 to L3."""
    scans = [
        {20: np.zeros(3), 21: np.array([0.0, 0, -30])},
        {20: np.zeros(3), 21: np.array([0.0, 2, -32]), 22: np.array([0.0, 0, -60])},
    ]
    statistics = offset_statistics(scans)
    assert list(statistics) == [(20, 21), (21, 22)]
    assert statistics[20, 21].count == 2
    assert statistics[20, 21].mean.tolist() == [0, 1, -31]
    np.testing.assert_allclose(statistics[20, 21].sd, [0, 2**0.5, 2**0.5])


def test_a_rare_pair_is_drawn_towards_regular_pairs_like_it():
    """One T12-T13 step of 36 mm, T12-L1 steps of 30 mm: (1 × 36 + 5 × 30) / 6 = 31."""
    t12, t13, l1, l2 = (label_of(name) for name in ("T12", "T13", "L1", "L2"))
    scans = [
        {t12: np.zeros(3), l1: np.array([0.0, 0, -30]), l2: np.array([0.0, 0, -60])},
        {t12: np.zeros(3), t13: np.array([0.0, 0, -36]), l1: np.array([0.0, 0, -66])},
    ]
    expected = expected_offsets(offset_statistics(scans))
    np.testing.assert_allclose(expected[t12, t13], [0, 0, -31])
    np.testing.assert_allclose(expected[t12, l1], [0, 0, -30])


@pytest.mark.real_data
@pytest.mark.skipif(not LANDMARKS.is_dir(), reason="no ../shared/data/landmarks")
class TestOnTheRealLandmarks:
    def test_the_table_of_anatomy_is_what_the_files_give(self):
        statistics = offset_statistics(read_unique_scans(LANDMARKS).values())
        expected = expected_offsets(statistics)
        assert list(expected) == list(MEAN_OFFSETS_MM)
        for edge, offset in expected.items():
            np.testing.assert_allclose(MEAN_OFFSETS_MM[edge], offset, atol=0.051)

    def test_anatomy_holds_the_printed_lines_word_for_word(self, capsys):
        assert main([str(LANDMARKS)]) == 0
        source = Path(__file__).resolve().parents[2] / "verse_infer" / "anatomy.py"
        stated = {line.strip() for line in source.read_text().splitlines()}
        printed = capsys.readouterr().out.splitlines()
        assert len(printed) == len(MEAN_OFFSETS_MM)
        assert set(printed) <= stated

    def test_141_scans_count_once_each(self):
        scans = read_unique_scans(LANDMARKS)
        assert len(scans) == 80 + 113 - 52
        assert "verse255" in scans
        assert len(format_table(offset_statistics(scans.values())).splitlines()) == 27
