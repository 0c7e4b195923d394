"""
Object detection.
"""

from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import silverprint._core.runtime
import typing

__all__: list[str] = [
    "DetectionLoss",
    "MovingAverage",
    "Network",
    "Optimiser",
    "Trainer",
    "average_precision",
    "convolve3x3",
    "convolve3x3_back",
    "giou",
    "iou",
    "project_planes",
    "project_planes_by_kernel",
    "seen_in_view",
    "suppress",
]

class Network:
    """
    A detection head on a frozen backbone's maps; cpp/detect/network.h describes it.
    """
    def __init__(
        self,
        inputs: collections.abc.Sequence[
            tuple[
                typing.SupportsInt | typing.SupportsIndex,
                typing.SupportsInt | typing.SupportsIndex,
                typing.SupportsInt | typing.SupportsIndex,
                typing.SupportsInt | typing.SupportsIndex,
            ]
        ],
        classes: typing.SupportsInt | typing.SupportsIndex,
        mean: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        deviation: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        *,
        channels: typing.SupportsInt | typing.SupportsIndex = 64,
        context: typing.SupportsInt | typing.SupportsIndex = 4,
        tower: typing.SupportsInt | typing.SupportsIndex = 2,
        coarser: bool = True,
        batch: typing.SupportsInt | typing.SupportsIndex = 16,
        seed: typing.SupportsInt | typing.SupportsIndex = 0,
        threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None:
        """
        inputs: (stride, channels, height, width) of each map, finest first; mean and deviation float32
        of their channels, one input's after the other.
        """
    def backward(
        self,
        by_logits: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        by_distances: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Gradient by the parameters, from the derivatives by the last forward's results.
        """
    def forward(
        self, rows: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]], training: bool
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]:
        """
        Logits (n, cells, classes) and distances (n, cells, 4) in pixels of the tensor, from float16 rows
        (n, row_size). Training normalises by the batch and moves the running statistics.
        """
    @property
    def cells(self) -> int: ...
    @property
    def levels(self) -> list[tuple[int, int, int]]:
        """
        Stride, height and width of each level of cells.
        """
    @property
    def multiply_adds(self) -> int:
        """
        Of all convolutions for one picture, forward.
        """
    @property
    def parameter_list(self) -> dict[str, tuple[int, tuple[int, ...], bool]]:
        """
        By name: offset, shape, and whether weight decay applies.
        """
    @property
    def parameters(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of all weights, flat; parameter_list says where each lies.
        """
    @parameters.setter
    def parameters(self, arg1: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]) -> None: ...
    @property
    def row_size(self) -> int: ...
    @property
    def statistic_list(self) -> dict[str, tuple[int, tuple[int, ...], bool]]:
        """
        By name: offset, shape, False.
        """
    @property
    def statistics(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the running means and variances, flat; statistic_list says where each lies.
        """
    @statistics.setter
    def statistics(self, arg1: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]) -> None: ...

class DetectionLoss:
    """
    Task-aligned assignment with varifocal and GIoU loss on levels (stride, height, width).
    """
    def __init__(
        self,
        levels: collections.abc.Sequence[
            tuple[
                typing.SupportsFloat | typing.SupportsIndex,
                typing.SupportsInt | typing.SupportsIndex,
                typing.SupportsInt | typing.SupportsIndex,
            ]
        ],
        classes: typing.SupportsInt | typing.SupportsIndex,
        threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    def assignment(
        self,
    ) -> tuple[numpy.typing.NDArray[numpy.int32], numpy.typing.NDArray[numpy.float32]]:
        """
        Of the last evaluate(), (n, cells): each cell's box in its picture, or -1, and its target.
        """
    def evaluate(
        self,
        logits: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        distances: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        counts: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        boxes: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        labels: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
    ) -> tuple[
        float, float, numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]
    ]:
        """
        Classification loss, box loss, and the derivatives of classification + 2 * box by logits float32
        (n, cells, classes) and by distances float32 (n, cells, 4). Picture i has counts[i] of the boxes
        (b, 4) and labels (b,).
        """
    @property
    def cells(self) -> int: ...

class Optimiser:
    """
    AdamW with a cut gradient norm, warm-up and a cosine; `decays` uint8 (n,) says which
    parameters decay.
    """
    def __init__(
        self,
        decays: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
        rate: typing.SupportsFloat | typing.SupportsIndex,
        steps: typing.SupportsInt | typing.SupportsIndex,
        decay: typing.SupportsFloat | typing.SupportsIndex = 0.05,
        largest_gradient: typing.SupportsFloat | typing.SupportsIndex = 10.0,
        warm_up: typing.SupportsInt | typing.SupportsIndex = 50,
        least: typing.SupportsFloat | typing.SupportsIndex = 0.02,
        threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    def restore(self, state: dict[str, typing.Any]) -> None:
        """
        Continue from a state(), bit for bit.
        """
    def state(self) -> dict[str, typing.Any]:
        """
        All that the next step depends on, as a dict.
        """
    def step(
        self,
        w: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        gradient: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        The parameters after one step.
        """
    @property
    def rate(self) -> float:
        """
        The length of the next step.
        """

class MovingAverage:
    """
    Exponential moving average, decay 0.998.
    """
    def __init__(self, start: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]) -> None: ...
    def restore(self, state: dict[str, typing.Any]) -> None:
        """
        Continue from a state(), bit for bit.
        """
    def state(self) -> dict[str, typing.Any]:
        """
        All that the next update depends on, as a dict.
        """
    def update(self, values: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]) -> None: ...
    @property
    def values(self) -> numpy.typing.NDArray[numpy.float32]: ...

class Trainer:
    """
    Trains a detection head step by step; cpp/detect/trainer.h describes it.
    """
    def __init__(
        self,
        inputs: collections.abc.Sequence[
            tuple[
                typing.SupportsInt | typing.SupportsIndex,
                typing.SupportsInt | typing.SupportsIndex,
                typing.SupportsInt | typing.SupportsIndex,
                typing.SupportsInt | typing.SupportsIndex,
            ]
        ],
        classes: typing.SupportsInt | typing.SupportsIndex,
        mean: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        deviation: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        rows: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        geometry: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        chosen: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        counts: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        boxes: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        labels: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
        *,
        rate: typing.SupportsFloat | typing.SupportsIndex = 0.002,
        steps: typing.SupportsInt | typing.SupportsIndex = 600,
        channels: typing.SupportsInt | typing.SupportsIndex = 64,
        context: typing.SupportsInt | typing.SupportsIndex = 4,
        tower: typing.SupportsInt | typing.SupportsIndex = 2,
        coarser: bool = True,
        batch: typing.SupportsInt | typing.SupportsIndex = 16,
        seed: typing.SupportsInt | typing.SupportsIndex = 0,
        threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None:
        """
        rows float16 (pictures, views, row), geometry float32 (pictures, views, 5), chosen int64: pictures to
        train on; counts int64 (pictures,) of the boxes float32 (b, 4), from 0 to 1, and labels int32 (b,).
        """
    def restore(self, state: dict[str, typing.Any]) -> None:
        """
        Continue from a state(), bit for bit.
        """
    def state(self) -> dict[str, typing.Any]:
        """
        All that the next step depends on, as a dict of arrays and numbers.
        """
    def step(self, cancel: silverprint._core.runtime.CancelToken) -> bool:
        """
        One batch; False after the last.
        """
    @property
    def average(
        self,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]:
        """
        Averaged parameters and statistics, as a Network takes them.
        """
    @property
    def loss(self) -> tuple[float, float]:
        """
        Of the last step: classification, boxes.
        """
    @property
    def steps(self) -> int:
        """
        Done so far.
        """

def average_precision(
    found_counts: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    found_boxes: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    found_labels: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
    found_scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    truth_counts: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    truth_boxes: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    truth_labels: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
    truth_crowd: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
    classes: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex = 0,
) -> dict[str, typing.Any]:
    """
    COCO's average precision: `average` and `recall` (classes, 10 IoU thresholds), `precision` and
    `scores` (classes, 101 recalls) at IoU 0.50, `counts` (classes,) of true boxes, `matches` of each
    found box: its true box, -1 for none, -2 for one that does not count.
    """

def convolve3x3(
    x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    kernel: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    stride: typing.SupportsInt | typing.SupportsIndex,
    rows: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    For tests: x (n, h, w, i) and kernel (3, 3, i, o) to (n, h / stride rounded up, w likewise, o),
    `rows` rows at once; one cell of zeros around the picture.
    """

def convolve3x3_back(
    x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    kernel: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    by_output: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    stride: typing.SupportsInt | typing.SupportsIndex,
    rows: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]:
    """
    For tests: the derivatives by x and by the kernel.
    """

def giou(
    box: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    other: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> tuple[float, numpy.typing.NDArray[numpy.float64]]:
    """
    Generalised IoU of two boxes (1, 4), and its derivatives (4,) by the edges of the first.
    """

def iou(
    box: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    other: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> float:
    """
    Intersection over union of two boxes, each (1, 4): x0, y0, x1, y1.
    """

def project_planes(
    planes: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    kernel: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    rows: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    For tests: planes (n, i, h, w) and kernel (i, o) to (n, h, w, o).
    """

def project_planes_by_kernel(
    planes: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    by_output: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    rows: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    For tests: the derivative by the kernel.
    """

def seen_in_view(
    box: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    geometry: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> numpy.typing.NDArray[numpy.float32] | None:
    """
    A box (x0, y0, x1, y1) of the whole picture as a view shows it, both from 0 to 1; None where less than
    0.4 of its area is left. geometry: left, top, right, bottom, 1 where mirrored.
    """

def suppress(
    boxes: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    score_threshold: typing.SupportsFloat | typing.SupportsIndex,
    iou_threshold: typing.SupportsFloat | typing.SupportsIndex,
    top: typing.SupportsInt | typing.SupportsIndex = 600,
    limit: typing.SupportsInt | typing.SupportsIndex = 100,
) -> tuple[
    numpy.typing.NDArray[numpy.int32],
    numpy.typing.NDArray[numpy.int32],
    numpy.typing.NDArray[numpy.float32],
]:
    """
    Index, label and score of the boxes (n, 4) that non-maximum suppression per class keeps, of
    scores (n, classes).
    """
