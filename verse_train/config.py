"""What each training is: network size, sample lattice, augmentation, loss, optimiser, schedule.

`paper` repeats Payer et al. (VISAPP 2020, section 3.1, and the VerSe 2019 report). `compact` is
made for a processor with few cores: small networks, smaller samples, Adam with a falling rate.
"""

from dataclasses import dataclass

from verse_infer.weights import STAGES, Crop, Stage, crop_of
from verse_train.sizes import SIZES, NetworkSize, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Random changes to a training sample; every number is the end of a uniform range.

    rotation_deg: about each axis. scale: of all axes together. translation_mm: along each axis.
    elastic_mm: displacement of the control points of a 6×6×6 grid over the sample.
    intensity_scale, intensity_shift: applied to HU / 2048, as in the papers.
    noise_hu, blur_mm: largest standard deviation of added noise and of an added Gaussian blur
        along one random axis, each used on half of the samples.
    noise_grain_mm: largest standard deviation of a Gaussian that the noise has gone through, as in
        scans of coarser voxels.
    mirror: reflect left and right on half of the samples.
    field_of_view_cuts: on half of the samples end the scan at random heights, as scans do.
    spine_views: share of the samples of stages 1 and 2 that show little beside the spine.
    narrow_views: share of the samples of stage 3 whose scan ends near the vertebra on all sides.
    faded_bone: share of the samples of stage 3 whose vertebrae are hardly denser inside than muscle.
    spineless: share of the samples that show a part of the scan without any of its spine.
    """

    rotation_deg: float = 15.0
    scale: float = 0.15
    translation_mm: float = 0.0
    elastic_mm: float = 0.0
    intensity_scale: float = 0.25
    intensity_shift: float = 0.25
    noise_hu: float = 0.0
    blur_mm: float = 0.0
    noise_grain_mm: float = 0.0
    mirror: bool = False
    field_of_view_cuts: bool = False
    spineless: float = 0.0
    spine_views: float = 0.0
    narrow_views: float = 0.0
    faded_bone: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """One stage's training.

    spacing_mm, sample_size: the lattice of a sample; voxels along x, y, z.
    crop_offset_mm: middle of a vertebra's crop from its centroid, LPS; most of a vertebra lies
        behind the centre of its body, and its spinous process below.
    small_crops: of vertebrae that are smaller than sample_size.
    smoothing_mm: Gaussian applied to the CT before sampling.
    centroid_jitter_mm: standard deviation of the centroids shown to the segmentation network.
    optimiser: adam or nesterov; rate falls as a half cosine to zero if rate_falls.
    decay: L2 weight regularisation of the convolution kernels, as strong beside the loss as in the
        papers' training; see training.kernel_penalty.
    sigma: of target heatmaps in voxels; learned if sigma_penalty > 0.
    sigma_penalty: α of the paper's α‖σ‖². near_weight: how much more than others voxels near a
        vertebra count in the heatmap loss. dice_loss: add soft Dice to the cross-entropy.
    """

    stage: Stage
    size: NetworkSize
    spacing_mm: float
    sample_size: tuple[int, int, int]
    steps: int
    rate: float
    augmentation: Augmentation
    smoothing_mm: float = 0.75
    crop_offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    small_crops: tuple[Crop, ...] = ()
    centroid_jitter_mm: float = 0.0
    optimiser: str = "adam"
    rate_falls: bool = False
    decay: float = 0.0
    sigma: float = 3.0
    sigma_penalty: float = 0.0
    near_weight: float = 0.0
    dice_loss: bool = False

    def crop(self, label: int) -> Crop:
        """What stage 3 sees of a vertebra."""
        whole = Crop(self.sample_size, self.crop_offset_mm)
        return crop_of((*self.small_crops, whole), label)


_PAPER = (
    TrainingConfig(
        stage="spine_localisation",
        size=SIZES[Size.PAPER],
        spacing_mm=8.0,
        sample_size=(64, 64, 128),
        steps=20_000,
        rate=1e-4,
        augmentation=Augmentation(translation_mm=240.0, elastic_mm=120.0),
        decay=5e-4,
    ),
    TrainingConfig(
        stage="vertebra_localisation",
        size=SIZES[Size.PAPER],
        spacing_mm=2.0,
        sample_size=(96, 96, 128),
        steps=100_000,
        rate=1e-8,
        augmentation=Augmentation(translation_mm=60.0, elastic_mm=30.0),
        optimiser="nesterov",
        decay=5e-4,
        sigma_penalty=100.0,
    ),
    TrainingConfig(
        stage="vertebra_segmentation",
        size=SIZES[Size.PAPER],
        spacing_mm=1.0,
        sample_size=(128, 128, 96),
        steps=50_000,
        rate=1e-4,
        augmentation=Augmentation(translation_mm=30.0, elastic_mm=15.0),
        decay=1e-7,
    ),
)

_COMPACT = (
    TrainingConfig(
        stage="spine_localisation",
        size=SIZES[Size.COMPACT],
        spacing_mm=8.0,
        sample_size=(64, 64, 64),
        steps=1_500,
        rate=1e-3,
        augmentation=Augmentation(
            translation_mm=80.0,
            elastic_mm=20.0,
            noise_hu=20.0,
            mirror=True,
            field_of_view_cuts=True,
            spineless=0.25,
            spine_views=0.5,
        ),
        rate_falls=True,
        near_weight=5.0,
    ),
    TrainingConfig(
        stage="vertebra_localisation",
        size=SIZES[Size.COMPACT],
        spacing_mm=2.0,
        sample_size=(80, 80, 128),
        steps=4_000,
        rate=1e-3,
        augmentation=Augmentation(
            scale=0.2,
            translation_mm=16.0,
            elastic_mm=15.0,
            intensity_scale=0.25,
            intensity_shift=0.05,
            noise_hu=30.0,
            blur_mm=1.5,
            mirror=True,
            field_of_view_cuts=True,
            spineless=0.15,
            spine_views=0.3,
        ),
        rate_falls=True,
        sigma=2.0,
    ),
    TrainingConfig(
        stage="vertebra_segmentation",
        size=SIZES[Size.COMPACT],
        spacing_mm=1.0,
        sample_size=(112, 112, 80),
        steps=3_000,
        rate=1e-3,
        augmentation=Augmentation(
            elastic_mm=4.0,
            noise_hu=120.0,
            blur_mm=2.0,
            noise_grain_mm=1.0,
            mirror=True,
            narrow_views=0.35,
            faded_bone=0.25,
        ),
        crop_offset_mm=(0.0, 18.0, 3.0),
        small_crops=(
            Crop((96, 96, 64), (0.0, 22.0, 2.0), labels=tuple(range(1, 8))),
            Crop((96, 96, 80), (0.0, 22.0, -5.0), labels=tuple(range(8, 16))),
            Crop((96, 112, 80), (0.0, 18.0, -5.0), labels=(*range(16, 21), 28)),
            Crop((112, 112, 80), (0.0, 18.0, -8.0), labels=(21, 22)),
        ),
        centroid_jitter_mm=2.5,
        rate_falls=True,
        dice_loss=True,
    ),
)

CONFIGS: dict[Size, dict[Stage, TrainingConfig]] = {
    size: dict(zip(STAGES, configs, strict=True))
    for size, configs in {Size.PAPER: _PAPER, Size.COMPACT: _COMPACT}.items()
}
