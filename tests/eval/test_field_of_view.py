import pytest

from verse_eval.summaries import FIELDS_OF_VIEW, field_of_view, landmarks, transitional
from verse_infer.anatomy import CRANIOCAUDAL_LABELS, label_of

USUAL = [k for k in CRANIOCAUDAL_LABELS if k not in (label_of("T13"), label_of("L6"))]


def levels(first, last):
    """Labels from a vertebra to another in a usual spine."""
    return USUAL[USUAL.index(label_of(first)) : USUAL.index(label_of(last)) + 1]


@pytest.mark.parametrize(
    ("first", "last", "category"),
    [
        ("C1", "T5", "C/T (+C1)"),
        ("C3", "T5", "C/T (-C1)"),
        ("T9", "L5", "T/L (+L5)"),
        ("T9", "L3", "T/L (-L5)"),
        ("C1", "L5", "C/T/L (+C1&L5)"),
        ("C2", "L5", "C/T/L (-C1/L5)"),
        ("C3", "L2", "C/T/L (-C1/L5)"),
        ("C1", "L4", "C/T/L (-C1/L5)"),
        ("L1", "L5", "no junction"),
        ("T3", "T9", "no junction"),
    ],
)
def test_categories_of_the_paper(first, last, category):
    assert field_of_view(levels(first, last)) == category
    assert category in FIELDS_OF_VIEW


def test_landmarks():
    assert landmarks(levels("C1", "L5")) == {"cranium", "C7/T1", "T12/L1", "sacrum"}
    assert landmarks(levels("T2", "T8")) == frozenset()
    assert landmarks([label_of("T13"), label_of("L1")]) == {"T12/L1"}
    assert landmarks([label_of("L6")]) == {"sacrum"}


def test_rare_anatomy():
    assert transitional([label_of("T13"), label_of("L6")]) == {"T13", "L6"}
    assert transitional(levels("C1", "L5")) == {"neither T13 nor L6"}
