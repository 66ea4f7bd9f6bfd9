"""Names from the straightened picture, how sure they are, and what is rare about them.

A wrong level is the one error that a surgeon does not forgive. So the chain is asked for the best
sequence and for the best one that names some body otherwise; how far apart they are is the margin.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, label_of, name_of, successors_of
from verse_infer.ct import Centroid, Ct
from verse_infer.flags import Flag, FlagCode
from verse_infer.grid import Point
from verse_infer.identification import Reading, identify
from verse_infer.labelling.chain import Naming, name_by_chain
from verse_infer.landmarks import Heatmaps, find_bodies
from verse_infer.networks import Network
from verse_infer.spine import SpineRegion, z_range_of
from verse_infer.straightening import ROW_MM
from verse_infer.weights import IdentificationWeights, LandmarkWeights

#: A first curve needs so many points of one kind; bodies of stage 2 below this response are none of it.
FEWEST_GUIDES, CLEAR_BODY = 2, 0.1
#: Where the sacrum's upper part lies below the centre of the lowest vertebra, mm.
SACRUM_MM = (25.0, 50.0)
_UNCERTAIN = "names are uncertain: "
#: Vertebrae that few spines have; nobody misses them.
_RARE = frozenset({label_of("T13"), label_of("L6")})


@dataclass(frozen=True, slots=True)
class Sighting:
    """What stages 1 and 2 saw.

    candidates: maxima of the heatmaps. labelled: what the labelling rule makes of them alone.
    """

    spine: SpineRegion
    heatmaps: Heatmaps
    candidates: tuple[Centroid, ...]
    labelled: tuple[Centroid, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """The best naming, and what a person should look at."""

    naming: Naming
    flags: tuple[Flag, ...]


def name_in_picture(
    ct: Ct,
    seen: Sighting,
    network: Network[IdentificationWeights],
    localisation: LandmarkWeights,
) -> Named:
    """Bodies and names by the picture along the spine; no vertebrae where it shows none."""
    options = network.weights.options
    least, distance = options.least_localised, localisation.options.min_distance
    bodies = find_bodies(seen.heatmaps, least, distance)
    guide = _guide(seen, bodies)
    if not guide:
        return Named(Naming((), (), ()), ())
    candidates, reading = identify(ct, bodies, guide, network, options, seen.heatmaps)
    naming = name_by_chain(candidates, options.chain, z_range_of(ct.lattice))
    if sum(c.response for c in naming.vertebrae) < options.least_sum:
        return Named(Naming((), (), ()), ())
    below = shows_sacrum_below(reading, naming.vertebrae, z_range_of(ct.lattice)[0])
    return Named(naming, tuple(naming_flags(naming, options.least_margin, sacrum_below=below)))


def _guide(seen: Sighting, bodies: Sequence[Centroid]) -> tuple[Point, ...]:
    """Points that the first curve runs through: named vertebrae, else bodies, else stage 1's line."""
    if len(seen.labelled) >= FEWEST_GUIDES:
        return tuple(c.point for c in seen.labelled)
    clear = tuple(c.point for c in bodies if c.response > CLEAR_BODY)
    return clear if len(clear) >= FEWEST_GUIDES else seen.spine.line or clear


def shows_sacrum_below(reading: Reading, vertebrae: Sequence[Centroid], bottom: float) -> bool:
    """Whether the picture shows the sacrum right below the lowest vertebra.

    bottom: LPS z of the scan's lowest plane, mm; of rows beyond it the network says nothing.
    """
    if not vertebrae:
        return False
    row = reading.curve.place(vertebrae[-1].point)[0]
    below_mm = (row - reading.rows) * ROW_MM
    heights = np.interp(
        reading.rows, np.arange(len(reading.curve.centre)), reading.curve.centre[:, 2]
    )
    place = (below_mm > SACRUM_MM[0]) & (below_mm < SACRUM_MM[1])
    seen = place & (heights >= bottom)
    return bool(2 * seen.sum() > place.sum() and np.median(reading.sacrum[seen]) > 0.5)


def naming_flags(naming: Naming, least_margin: float, *, sacrum_below: bool) -> Iterator[Flag]:
    """What of a naming a person should look at.

    least_margin: namings nearer to their rival are doubtful. sacrum_below: see shows_sacrum_below.
    """
    if naming.vertebrae and naming.margin < least_margin:
        usual = f"margin {naming.margin:.2f}, usual are {least_margin:g} and more"
        message = f"{_UNCERTAIN}{rival_kind(naming)} is nearly as likely ({usual})"
        yield Flag(FlagCode.NAMES_DOUBTFUL, message, naming.margin)
    yield from rare_flags(naming.vertebrae, sacrum_below=sacrum_below)
    yield from gap_flags(naming.vertebrae)


def rare_flags(vertebrae: Sequence[Centroid], *, sacrum_below: bool) -> Iterator[Flag]:
    """T13, L6, no T12, no L5; vertebrae: head to foot."""
    labels = [c.label for c in vertebrae]
    names = {name_of(label) for label in labels}
    if "T13" in names:
        yield Flag(FlagCode.THIRTEEN_THORACIC, "a thirteenth thoracic vertebra (T13) was found")
    if "L6" in names:
        yield Flag(FlagCode.SIX_LUMBAR, "a sixth lumbar vertebra (L6) was found")
    if (label_of("T11"), label_of("L1")) in set(pairwise(labels)):
        yield Flag(FlagCode.NO_T12, "no twelfth thoracic vertebra: L1 follows T11")
    if sacrum_below and labels and labels[-1] == label_of("L4"):
        yield Flag(FlagCode.NO_L5, "no fifth lumbar vertebra: the sacrum follows L4")


def gap_flags(vertebrae: Sequence[Centroid]) -> Iterator[Flag]:
    """Vertebrae that were not found between two that were."""
    place = CRANIOCAUDAL_LABELS.index
    for upper, lower in pairwise(c.label for c in vertebrae):
        if lower not in successors_of(upper):
            between = CRANIOCAUDAL_LABELS[place(upper) + 1 : place(lower)]
            missing = " ".join(name_of(label) for label in between if label not in _RARE)
            yield Flag(FlagCode.GAP_BRIDGED, f"not found, though its neighbours were: {missing}")


def rival_kind(naming: Naming) -> str:
    """In words, what the nearest rival of a naming says of the bodies that both name."""
    own = {c.point: c.label for c in naming.vertebrae}
    shared = [(own[c.point], c.label) for c in naming.rival if c.point in own]
    changed = [(a, b) for a, b in shared if a != b]
    for name in ("L6", "T13"):
        if label_of(name) in {b for _, b in changed} - {a for a, _ in shared}:
            return f"a naming with {name}"
        if label_of(name) in {a for a, _ in changed} - {b for _, b in shared}:
            return f"a naming without {name}"
    lost = {a for a, _ in shared} - {b for _, b in shared}
    if label_of("T12") in lost and len(changed) < len(shared):
        return "a naming without T12"
    place = CRANIOCAUDAL_LABELS.index
    shift = float(np.median([place(b) - place(a) for a, b in changed])) if changed else 0.0
    if not shift:
        return "another naming"
    levels = f"{abs(shift):.0f} level{'s' if abs(shift) > 1 else ''}"
    which = "the same" if len(changed) == len(shared) else "a part of it"
    return f"{which} {levels} {'higher' if shift < 0 else 'lower'}"
