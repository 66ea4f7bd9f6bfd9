"""The published networks once more, independently: names and shapes as a table, sums in numpy.

Written from the variable names, the layer descriptions of the papers and the data notes, in float64,
with none of the code under test. Arrays are z, y, x, c without a batch axis.
"""

import numpy as np

STAGES = {
    "spine_localisation": "spine_localization",
    "vertebra_localisation": "vertebrae_localization",
    "vertebra_segmentation": "vertebrae_segmentation",
}
LANDMARKS = {2019: 25, 2020: 26}


def variables(year, stage, filters):
    """Name (2020: without its long ending) -> shape of every variable of a network."""
    table = {}

    def layer(path, kernel, inputs, outputs):
        table[f"{path}/kernel"] = (kernel,) * 3 + (inputs, outputs)
        table[f"{path}/bias"] = (outputs,)

    def u_net(path, inputs, levels, repeats=2):
        for level in range(levels):
            for i in range(repeats):
                first = inputs if level == 0 else filters
                layer(path("contracting", level, i), 3, filters if i else first, filters)
                wide = filters if i or level == levels - 1 else 2 * filters
                layer(path("expanding", level, i), 3, wide, filters)

    n = LANDMARKS[year]
    inputs = 2 if stage == "vertebra_segmentation" else 1
    if stage != "vertebra_localisation":
        root, head, kernel = {
            2019: ("net/local", "net/local/output", 3),
            2020: ("model/unet", "model/prediction/layers/0", 1),
        }[year]
        u_net(_path(year, root), inputs, 5)
        layer(head, kernel, filters, 1)
    elif year == 2019:
        layer("net/conv0", 3, 1, filters)
        u_net(_path(year, "net"), filters, 4)
        layer("net/local_heatmaps", 3, filters, n)
        for i in range(3):
            layer(f"net/sconv{i}", 7, filters if i else n, filters)
        layer("net/spatial_downsampled", 7, filters, n)
    else:
        u_net(_path(year, "model/scnet_local"), 1, 4)
        layer("model/local_heatmaps/layers/0", 1, filters, n)
        u_net(_path(year, "model/scnet_spatial"), n, 4, repeats=1)
        layer("model/spatial_heatmaps", 1, filters, n)
    return table


def _path(year, root):
    if year == 2019:
        return lambda side, level, i: f"{root}/{side}/level{level}/conv{i}"
    return lambda side, level, i: f"{root}/{side}_layers/level{level}/layers/{2 * i}"


def known_values(shapes, scale=1.0):
    """The values of the parity files: variable i of the sorted names from generator i."""
    values = {}
    for i, name in enumerate(sorted(shapes)):
        shape, rng = shapes[name], np.random.default_rng(i)
        if name.endswith("kernel"):
            drawn = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
        else:
            drawn = scale * 0.1 * rng.standard_normal(shape)
        values[name] = drawn.astype(np.float32)
    return values


def known_input(shape):
    """The input of the parity files, for a shape of batch, z, y, x, c."""
    return np.random.default_rng(1000).uniform(-1, 1, shape).astype(np.float32)


def forward(year, stage, values, image):
    """What the published network answers: heatmaps, products of heatmaps, sigmoid."""
    image = image.astype(np.float64)

    def layer(x, path):
        return convolve(x, values[f"{path}/kernel"], values[f"{path}/bias"])

    def u_net(x, path, levels, slope, repeats=2):
        def block(x, side, level):
            for i in range(repeats):
                x = leaky(layer(x, path(side, level, i)), slope)
            return x

        def descend(x, level):
            x = block(x, "contracting", level)
            if level == levels - 1:
                return block(x, "expanding", level)
            below = double(descend(pool(x, 2), level + 1))
            return block(np.concatenate([x, below], axis=-1), "expanding", level)

        return descend(x, 0)

    if stage != "vertebra_localisation":
        root, head = {
            2019: ("net/local", "net/local/output"),
            2020: ("model/unet", "model/prediction/layers/0"),
        }[year]
        x = layer(u_net(image, _path(year, root), 5, 0.0), head)
        return 1 / (1 + np.exp(-x)) if stage == "vertebra_segmentation" else x
    if year == 2019:
        x = u_net(leaky(layer(image, "net/conv0"), 0.1), _path(year, "net"), 4, 0.1)
        local = layer(x, "net/local_heatmaps")
        x = pool(local, 4)
        for i in range(3):
            x = leaky(layer(x, f"net/sconv{i}"), 0.1)
        return local * quadruple(np.tanh(layer(x, "net/spatial_downsampled")))
    x = u_net(image, _path(year, "model/scnet_local"), 4, 0.1)
    local = layer(x, "model/local_heatmaps/layers/0")
    x = pool(local, 4)
    size = x.shape
    x = np.pad(x, [(0, -n % 8) for n in size[:3]] + [(0, 0)])
    x = u_net(x, _path(year, "model/scnet_spatial"), 4, 0.1, repeats=1)
    x = layer(x[: size[0], : size[1], : size[2]], "model/spatial_heatmaps")
    return local * np.tanh(quadruple(x))


def convolve(x, kernel, bias):
    """Zero-padded correlation, one kernel offset after the other."""
    half = kernel.shape[0] // 2
    padded = np.pad(x, [(half, half)] * 3 + [(0, 0)])
    z, y, w, _ = x.shape
    result = np.zeros((z, y, w, kernel.shape[-1])) + bias
    for i, j, k in np.ndindex(kernel.shape[:3]):
        result += padded[i : i + z, j : j + y, k : k + w] @ kernel[i, j, k].astype(np.float64)
    return result


def leaky(x, slope):
    return np.where(x > 0, x, slope * x)


def pool(x, n):
    """Means of cubes of n voxels."""
    z, y, w, c = x.shape
    return x.reshape(z // n, n, y // n, n, w // n, n, c).mean(axis=(1, 3, 5))


def double(x):
    """Linear, half-pixel centres, clamped edges: three quarters and one quarter."""
    for axis in range(3):
        x = np.moveaxis(x, axis, 0)
        before, after = np.concatenate([x[:1], x[:-1]]), np.concatenate([x[1:], x[-1:]])
        out = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=1)
        x = np.moveaxis(out.reshape(2 * len(x), *x.shape[1:]), 0, axis)
    return x


def quadruple(x):
    """Transposed convolution of stride 4 with the 16-tap Keys kernel, cropped by 6."""
    t = np.abs(np.arange(16) - 7.5) / 4
    taps = np.where(t < 1, 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2)
    for axis in range(3):
        x = np.moveaxis(x, axis, 0)
        full = np.zeros((4 * len(x) + 12, *x.shape[1:]))
        for i, values in enumerate(x):
            full[4 * i : 4 * i + 16] += taps.reshape(-1, 1, 1, 1) * values
        x = np.moveaxis(full[6:-6], 0, axis)
    return x
