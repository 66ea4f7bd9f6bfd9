"""Stage 3: one vertebra at a time, merged on the CT's own grid by the largest response."""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.centroids import Centroid
from verse_infer.ct import Ct
from verse_infer.lattice import Lattice
from verse_infer.networks import Network
from verse_infer.resampling import bring_back, sample
from verse_infer.spine import normalised

Floats = NDArray[np.float32]


def segment_vertebrae(
    ct: Ct,
    centroids: Sequence[Centroid],
    network: Network,
    done: Callable[[int], None] = lambda _: None,
) -> NDArray[np.uint8]:
    """VerSe labels on the CT's grid, z, y, x; 0 is background.

    Every voxel takes the vertebra of the largest response above the threshold. `done` is called
    with the label after each vertebra.
    """
    labels = np.zeros(ct.hu.shape, np.uint8)
    best = np.zeros(ct.hu.shape, np.float16)
    threshold = np.float16(network.weights.threshold)
    for centroid in centroids:
        response, lattice = vertebra_response(ct, centroid, network)
        covered = bring_back(response, lattice, ct.lattice)
        if covered is None:
            continue
        where, block = covered[0], covered[1].astype(np.float16)
        wins = (block > threshold) & (block > best[where])
        labels[where][wins] = centroid.label
        best[where][wins] = block[wins]
        done(centroid.label)
    return labels


def vertebra_response(ct: Ct, centroid: Centroid, network: Network) -> tuple[Floats, Lattice]:
    """The network's response to one vertebra, 0 to 1, other pieces removed; and its lattice."""
    weights = network.weights
    lattice = Lattice.centred(centroid.point, weights.spacing_mm, weights.input_size)
    hu = sample(ct, lattice, weights.smoothing_mm)
    marker = centred_gaussian(weights.input_size, float(weights.options["centroid_sigma"]))
    image = np.stack([normalised(hu, weights.intensity_divisor), marker], axis=-1)
    return largest_piece(network(image)[..., 0], weights.threshold), lattice


def centred_gaussian(size: tuple[int, int, int], sigma: float) -> Floats:
    """Gaussian of height 1 in the middle of a lattice; size x, y, z; sigma in voxels; z, y, x."""
    gx, gy, gz = (np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / sigma) ** 2) for n in size)
    return np.asarray(gz[:, None, None] * gy[None, :, None] * gx, np.float32)


def largest_piece(response: Floats, threshold: float) -> Floats:
    """The response without all connected pieces above the threshold but the largest.

    What lies below the threshold around the largest piece stays, so that linear interpolation
    does not shrink it.
    """
    pieces, count = scipy.ndimage.label(response > threshold)
    if count < 2:
        return response
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    others = (pieces > 0) & (pieces != sizes.argmax())
    return np.where(others, np.float32(0.0), response)
