"""The best path through candidates, layer by layer from head to foot.

Every layer holds the candidates of one vertebra. A path takes at most one candidate per layer; it
may start and end anywhere (the virtual start and end vertices of the method). Layers come in
head-to-foot order, so the graph has no cycles and one pass finds the path of the largest sum of
candidate rewards and step gains, exactly.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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


#: Of each candidate of each layer: the best sum of a path up to it, and layer and candidate next to it.
_Sums = tuple[list[FloatArray], list[NDArray[np.int64]]]


@dataclass(frozen=True)
class PathGraph:
    """All paths through some layers.

    layers: head to foot. rewards, starts, ends: (n,) for each layer; of a candidate on the path, of the
    first one, and of the last one. gains: by places of an upper and a lower layer, (n, m), see StepGain.
    """

    layers: Sequence[Layer]
    rewards: Sequence[FloatArray]
    starts: Sequence[FloatArray]
    ends: Sequence[FloatArray]
    gains: Mapping[tuple[int, int], FloatArray]

    @classmethod
    def of(
        cls,
        layers: Sequence[Layer],
        rewards: Sequence[FloatArray],
        gain: StepGain,
        starts: Sequence[FloatArray] | None = None,
        ends: Sequence[FloatArray] | None = None,
    ) -> "PathGraph":
        """The graph of these layers; starts, ends: None is 0 for all."""
        none = [np.zeros(len(layer.points)) for layer in layers]
        gains = {
            (above, below): step
            for above in range(len(layers))
            for below in range(above + 1, len(layers))
            if len(layers[above].points)
            and len(layers[below].points)
            and (step := gain(layers[above], layers[below])) is not None
        }
        return cls(layers, rewards, starts or none, ends or none, gains)

    def best(self) -> tuple[tuple[Centroid, ...], float]:
        """The best path, head to foot, and its sum; empty and 0 if every path loses."""
        totals, _ = self._downwards
        finished = [total + end for total, end in zip(totals, self.ends, strict=True)]
        best = max(
            ((float(t.max()), i) for i, t in enumerate(finished) if len(t)), default=(0.0, -1)
        )
        if best[0] <= 0:
            return (), 0.0
        place = best[1]
        return self.path_through(place, int(finished[place].argmax())), best[0]

    def through(self) -> list[FloatArray]:
        """The sum of the best path through each candidate; (n,) for each layer."""
        above, below = self._downwards[0], self._upwards[0]
        return [a + b - r for a, b, r in zip(above, below, self.rewards, strict=True)]

    def path_through(self, place: int, index: int) -> tuple[Centroid, ...]:
        """The best path through one candidate of one layer, head to foot."""
        (_, before), (_, after) = self._downwards, self._upwards
        path = [self.layers[place].centroid(index)]
        for steps_on, grow in ((before, lambda c: path.insert(0, c)), (after, path.append)):
            layer, which = (int(value) for value in steps_on[place][index])
            while layer >= 0:
                grow(self.layers[layer].centroid(which))
                layer, which = (int(value) for value in steps_on[layer][which])
        return tuple(path)

    @cached_property
    def _downwards(self) -> _Sums:
        """Of paths that end at a candidate."""
        return self._sums(range(len(self.layers)), self.starts)

    @cached_property
    def _upwards(self) -> _Sums:
        """Of paths that begin at a candidate."""
        return self._sums(range(len(self.layers) - 1, -1, -1), self.ends)

    def _sums(self, order: Sequence[int], first: Sequence[FloatArray]) -> _Sums:
        totals = [np.zeros(0)] * len(self.layers)
        origins = [np.full((len(layer.points), 2), -1) for layer in self.layers]
        for rank, place in enumerate(order):
            best = first[place].copy()
            for other in order[:rank]:
                upper = (other, place) if other < place else (place, other)
                if upper not in self.gains:
                    continue
                gains = self.gains[upper] if other < place else self.gains[upper].T
                through = totals[other][:, None] + gains
                chosen = through.argmax(axis=0)
                value = np.take_along_axis(through, chosen[None, :], axis=0)[0]
                better = value > best
                best[better] = value[better]
                steps_from = np.stack([np.full_like(chosen, other), chosen], axis=1)
                origins[place][better] = steps_from[better]
            totals[place] = best + self.rewards[place]
        return totals, origins
