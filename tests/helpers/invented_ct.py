"""A trunk with the histogram of a CT, in a few hundred kilobytes: air, lung, fat, muscle, bone, and noise."""

import numpy as np

SHAPE = (64, 56, 44)


def invented_hu(seed=0, shape=SHAPE, noise=12.0, rounded=1):
    """int16 HU; x, y, z. rounded: to whole multiples of it, as compressed archives do."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    hu = np.full(shape, -1000.0)
    trunk = (x / 0.85) ** 2 + (y / 0.7) ** 2
    hu[trunk < 1] = -100
    hu[trunk < 0.75] = 50
    hu[
        ((np.abs(x) - 0.38) / 0.22) ** 2 + ((y + 0.1) / 0.35) ** 2 + ((z - 0.4) / 0.5) ** 2 < 1
    ] = -850
    spine = (x / 0.12) ** 2 + ((y - 0.4) / 0.14) ** 2
    hu[spine < 1] = 180
    hu[(spine >= 0.75) & (spine < 1.1)] = 500
    dense = (spine < 1.1) & (rng.random(shape) < 0.15)
    hu[dense] = rng.uniform(700, 1500, int(dense.sum()))
    hu += rng.normal(0, noise, shape)
    return np.clip(np.rint(hu / rounded) * rounded, -1024, 3071).astype(np.int16)


def outside_circle(shape=SHAPE, radius=1.0):
    """Where a reconstruction circle in the plane of x and y leaves padding; x, y, z."""
    x, y = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return np.broadcast_to((x**2 + y**2 > radius**2)[:, :, None], shape)
