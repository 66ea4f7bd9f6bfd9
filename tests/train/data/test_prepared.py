from dataclasses import fields, replace

import numpy as np
import pytest

from tests.helpers.training_cases import ball_case
from verse_train.data.prepared import load_prepared, save_prepared


def same(one, other):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)
        elif field.name in ("centroids", "cut"):
            assert [(c.label, c.point) for c in a] == [(c.label, c.point) for c in b]
        else:
            assert a == b
    return True


def test_a_case_comes_back_as_it_was(tmp_path):
    case = replace(ball_case(cut=("L3",)), patient="someone")
    save_prepared(tmp_path / "deep" / "case.npz", case)
    assert same(case, load_prepared(tmp_path / "deep" / "case.npz"))


def test_a_case_without_mask_and_centroids(tmp_path):
    case = replace(ball_case(), mask=None, centroids=(), cut=())
    save_prepared(tmp_path / "case.npz", case)
    again = load_prepared(tmp_path / "case.npz")
    assert again.mask is None
    assert again.centroids == again.cut == ()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "case.npz"
    save_prepared(path, ball_case(name="old"))

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        save_prepared(path, ball_case(name="new"))
    assert load_prepared(path).name == "old"
    assert [p.name for p in tmp_path.glob("*.npz")] == ["case.npz"]
