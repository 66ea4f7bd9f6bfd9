"""Hand-overs between localisation, labelling, segmentation and files: labelled points in LPS mm."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Centroid:
    """A vertebra's centroid (or, before labelling, a candidate for one).

    label: VerSe label (anatomy.LABELS).
    point: x, y, z in mm, LPS (x right to left, y anterior to posterior, z inferior to superior).
    response: height of the heatmap maximum, about 0 to 1; nan where it comes from an annotation.
    """

    label: int
    point: tuple[float, float, float]
    response: float = float("nan")
