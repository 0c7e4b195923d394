"""The proof that a saved Core ML file computes what its ONNX reference says, without Core ML.

Six kinds of checks: (a) the file, executed, gives the numbers of the reference; (b) every value
has its declared shape and type; (c) every weight is that of the reference, bit for bit; (d) so
is every parameter of every operator; (e) the description says what it should; (f) the label is
that of the largest probability. Nothing here is shared with what translates and writes files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from silverprint.export.coreml.proof.declared import check_declared
from silverprint.export.coreml.proof.description import Expected, check_description
from silverprint.export.coreml.proof.detector import Detector
from silverprint.export.coreml.proof.form import check_form
from silverprint.export.coreml.proof.numbers import execute_all
from silverprint.export.coreml.proof.oracle import Floats, Oracle
from silverprint.export.coreml.proof.report import Check, Proof
from silverprint.export.coreml.proof.structure import compare_structure
from silverprint.export.coreml.proof.subject import subject_of
from silverprint.export.coreml.reader import read_model

if TYPE_CHECKING:
    import onnx

__all__ = ["Detector", "Expected", "Proof", "prove"]

_KINDS = {"mlProgram": "ML Program", "pipeline": "Pipeline"}


def prove(
    path: str | os.PathLike[str],
    reference: onnx.ModelProto,
    tensors: Sequence[Floats],
    *,
    expected: Expected | None = None,
    own: bool | None = None,
) -> Proof:
    """Compare the file at `path` with `reference`, the graph that it was translated from.

    Args:
        path: an ``.mlpackage`` folder or an ``.mlmodel`` file, read back as it is on disk.
        reference: one input ``image`` (float32 NCHW, RGB levels 0..255) and ``targetProbability``
            or any number of feature outputs; weights inside.
        tensors: pictures that it is executed on, float32 [1, 3, height, width], levels 0..255.
            Real ones: noise reaches neither labels nor the range of the activations.
        expected: what the description must say; None compares labels and outputs only.
        own: whether silverprint wrote the file, which then must be of the form that it writes. A
            file of another tool may have a newer specification version than it needs. None: own
            where `expected` is given.

    Raises:
        ExportError: the file computes or says something else, naming the first layer that
            differs; it is damaged; or it holds operators that cannot be executed here.
    """
    saved = read_model(path)
    count = check_form(saved.spec, own=expected is not None if own is None else own)
    if expected is not None:
        count += check_description(saved, expected)
    checks = [Check("e", "facts of the description equal", count)]
    subject = subject_of(saved, reference, expected)
    network, answers, size = subject.network, subject.answers, subject.size
    check_declared(network)
    structure = compare_structure(network, reference, answers, size)
    checks = [
        Check("c", "numbers of weights and parameters equal, bit for bit", structure.numbers),
        Check("d", "operators with equal parameters", structure.operators),
        *checks,
    ]
    oracle = Oracle(reference, size, answers.wanted)
    execution = execute_all(network, oracle, tensors, answers, structure.coarsest)
    checks.insert(
        0, Check("b", "pictures executed with every declared shape and type", len(tensors))
    )
    if answers.label:
        checks.append(Check("f", "labels that are the most probable ones", len(tensors)))
    return Proof(
        path=str(saved.path),
        kind=_KINDS.get(saved.spec.WhichOneof("Type"), "NeuralNetwork"),
        types=structure.types,
        checks=tuple(checks),
        numbers=tuple(execution.numbers),
        near_ties=tuple(execution.near_ties),
        largest=execution.largest,
        unproven=structure.unproven,
    )
