"""A classifier so small that a thousand are made in seconds, and children that are interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import numpy.typing as npt

from silverprint.classifier.classifier import ImageClassifier
from silverprint.classifier.parameters import LogisticRegressor, ModelParameters
from silverprint.features.extractor import CustomFeatureExtractor
from support.classifier_sets import COLOURS, draw_set, speckled
from support.graphs import PLAIN, backbone, saved


def tiny_extractor(folder: Path) -> CustomFeatureExtractor:
    """A backbone of one convolution on 8 x 8 pictures."""
    return CustomFeatureExtractor(saved(backbone(), folder / "tiny.onnx"), **PLAIN)  # type: ignore[arg-type]


def tiny_model(folder: Path) -> Path:
    """A classifier of four colours over `tiny_extractor`, as a file."""
    parameters = ModelParameters(
        feature_extractor=tiny_extractor(folder),
        classifier=LogisticRegressor(l2=0.01),
        validation=None,
    )
    model = ImageClassifier(draw_set(folder / "set"), parameters, progress=False)
    path = folder / "tiny-classifier.onnx"
    model.write(path)
    return path


def pictures(count: int) -> list[npt.NDArray[np.uint8]]:
    """uint8 (40, 40, 3), each another one."""
    colours = list(COLOURS.values())
    return [speckled(str(i), colours[i % len(colours)]) for i in range(count)]


# Whoever runs the tests in the background of a shell has them ignore Ctrl-C, children included.
HEARING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def interrupted(code: str, *arguments: object, times: int = 1) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new process and send it Ctrl-C `times` times, once it prints "ready"."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.Popen(
        [sys.executable, "-c", HEARING + textwrap.dedent(code), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n", child.communicate(timeout=60)
        for _ in range(times):
            child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)
