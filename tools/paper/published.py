"""The papers' figures, by the rows of our benchmark and our configs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A row of a table.

    Attributes:
        detector (str): The detector that the backbone is part of.
        gmacs (float): Multiply-adds of an image, G.
        fps (float): Images a second.
        parameters (float): Parameters, M.
        memory (float): Memory, MB.
        joules (float | None): Energy of an image; Table 3 has none.
        rate (float | None): GFLOP/s; Table 3 has none.
    """

    detector: str
    gmacs: float
    fps: float
    parameters: float
    memory: float
    joules: float | None = None
    rate: float | None = None


# Tables 2, 3 and 4 of arXiv 1904.09730. They are of whole detectors on a
# TITAN X (Pascal), and count multiply-adds as FLOPs.
PUBLISHED = {
    'mmvovnet:PeleeNet': Published('Pelee304', 1.2, 35, 5.4, 1104, 2.4, 43),
    'mmvovnet:DSODDenseNet': Published(
        'DSOD300', 5.3, 35, 5.9, 1294, 3.7, 189
    ),
    'V-27-slim': Published('DSOD300', 5.6, 71, 5.9, 825, 0.9, 400),
    'V-27-slim+bottleneck': Published('DSOD300', 4.6, 1e3 / 18, 4.8, 895),
    'mmpretrain:ResNet-50': Published(
        'RefineDet320', 25.43, 23.2, 63.46, 2229, 5.3, 591.3
    ),
    'torchvision:densenet201': Published(
        'RefineDet320', 24.65, 12.0, 56.13, 3498, 9.9, 296.9
    ),
    'V-39': Published('RefineDet320', 32.6, 25.0, 56.28, 2199, 4.8, 815.0),
    'mmpretrain:ResNet-101': Published(
        'RefineDet320', 33.02, 17.5, 82.45, 3013, 7.5, 579.2
    ),
    'torchvision:densenet161': Published(
        'RefineDet320', 32.74, 12.8, 66.76, 3628, 10.0, 419.7
    ),
    'V-57': Published('RefineDet320', 36.45, 21.2, 70.32, 2511, 5.9, 775.5),
}

# Section 3.2 of arXiv 1904.09730: error on CIFAR-10 in %, and Eq. 1 in
# millions of values.
CIFAR_10 = {
    'densenet40': (5.24, 3.7),
    'osa12x20': (6.4, None),
    'osa5x43': (5.44, 2.5),
}

# Table 4 of CenterMask (arXiv 1911.06667): its box AP on COCO with V1, with
# the residual, and with eSE as well.
CENTERMASK_TABLE_4 = {
    'V-39': (39.7, 39.8, 40.0),
    'V-99': (35.3, 42.5, 43.5),
}

# What the tables compare: ours and a peer of a similar cost.
PAIRS = (
    ('V-27-slim', 'mmvovnet:PeleeNet'),
    ('V-27-slim', 'mmvovnet:DSODDenseNet'),
    ('V-39', 'mmpretrain:ResNet-50'),
    ('V-39', 'torchvision:densenet201'),
    ('V-57', 'mmpretrain:ResNet-101'),
    ('V-57', 'torchvision:densenet161'),
)


def label(row: str) -> str:
    """Call a network as the papers do.

    Example:
        >>> label('torchvision:densenet201'), label('V-27-slim+bottleneck')
        ('DenseNet-201', 'V-27-slim, bottleneck')
    """
    name = row.rpartition(':')[2].replace('+', ', ')
    name = name.replace('densenet', 'DenseNet-')
    name = name.replace('shufflenet_v2_x1_5', 'ShuffleNetV2 1.5x')
    return name.replace('DSODDenseNet', 'DenseNet-67')
