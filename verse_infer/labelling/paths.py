"""The best path through candidates, layer by layer from head to foot.

Every layer holds the candidates of one vertebra. A path takes at most one candidate per layer; it
may start and end anywhere (the virtual start and end vertices of the method). Layers come in
head-to-foot order, so the graph has no cycles and one pass finds the path of the largest sum of
candidate rewards and step gains, exactly.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_infer.ct import Centroid

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layer:
    """All n candidates for one vertebra.

    label: VerSe label. points: (n, 3), x, y, z in LPS mm. responses: (n,).
    """

    label: int
    points: FloatArray
    responses: FloatArray

    @classmethod
    def of(cls, label: int, candidates: Iterable[Centroid]) -> "Layer":
        """A layer of these candidates, whatever their own label, in an order of its own."""
        rows = sorted((*candidate.point, candidate.response) for candidate in candidates)
        table = np.asarray(rows, dtype=np.float64).reshape(-1, 4)
        return cls(label, table[:, :3], table[:, 3])

    def centroid(self, index: int) -> Centroid:
        """One candidate as a centroid of this layer's vertebra."""
        x, y, z = (float(value) for value in self.points[index])
        return Centroid(self.label, (x, y, z), float(self.responses[index]))


#: Gain of stepping from each candidate of one layer to each of a lower one: (n, m), -inf where
#: forbidden; None where no step leads from the first layer to the second.
StepGain = Callable[[Layer, Layer], FloatArray | None]


def steps(upper: Layer, lower: Layer) -> FloatArray:
    """Vectors from each of the n upper to each of the m lower candidates, mm; (n, m, 3)."""
    return np.asarray(lower.points[None, :, :] - upper.points[:, None, :])


def best_path(
    layers: Sequence[Layer],
    rewards: Sequence[FloatArray],
    gain: StepGain,
    starts: Sequence[FloatArray] | None = None,
    ends: Sequence[FloatArray] | None = None,
) -> tuple[Centroid, ...]:
    """Candidates on the best path, head to foot; empty if every path loses.

    layers: head to foot. rewards: (n,) for each layer. gain: see StepGain. starts, ends: gains of a
    path whose first, or last, candidate this is, (n,) for each layer; None: 0 for all.
    """
    starts = starts or [np.zeros(len(layer.points)) for layer in layers]
    ends = ends or [np.zeros(len(layer.points)) for layer in layers]
    totals: list[FloatArray] = []
    origins: list[NDArray[np.int64]] = []  # (n, 2): layer and candidate before, -1 at a start
    for place, layer in enumerate(layers):
        best = starts[place].copy()
        origin = np.full((len(layer.points), 2), -1)
        for above in range(place):
            step_gain = gain(layers[above], layer) if len(totals[above]) else None
            if step_gain is None:
                continue
            through = totals[above][:, None] + step_gain
            chosen = through.argmax(axis=0)
            value = np.take_along_axis(through, chosen[None, :], axis=0)[0]
            better = value > best
            best[better] = value[better]
            origin[better] = np.stack([np.full_like(chosen, above), chosen], axis=1)[better]
        totals.append(best + rewards[place])
        origins.append(origin)
    finished = [total + end for total, end in zip(totals, ends, strict=True)]
    return _walk_back(layers, finished, origins)


def _walk_back(
    layers: Sequence[Layer], finished: Sequence[FloatArray], origins: Sequence[NDArray[np.int64]]
) -> tuple[Centroid, ...]:
    ends = [(float(total.max()), place) for place, total in enumerate(finished) if len(total)]
    best, place = max(ends, default=(0.0, -1))
    if best <= 0:
        return ()
    index = int(finished[place].argmax())
    path = []
    while place >= 0:
        path.append(layers[place].centroid(index))
        place, index = (int(value) for value in origins[place][index])
    return tuple(reversed(path))
