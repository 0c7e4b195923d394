"""Our multilayer perceptron against scikit-learn's, and a plain loop in torch if it is installed.

The same features, the fixed split of every shared set, one hidden layer of 256. Ours is the fit
that `ImageClassifier` ends with, at the default parameters, before any temperature. Each seed is
one round of A B C: every figure is the mean over the seeds (lowest to highest), times are medians.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedKFold

import common
import perceptron_tables as tables
import plain_perceptron
from common import note, say
from perceptron_tables import FOLDS, OURS, Folded, Run, SetRuns
from plain_perceptron import Fit, Fitted
from shared_sets import QUICK_SETS, SplitFeatures, extractors, find_sets, split_features

if TYPE_CHECKING:
    pass

_UNITS = 256


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--sets", nargs="+", help="default: all with a split.csv")
    parser.add_argument("--seeds", type=int, default=3, help="seeds, each a round")
    parser.add_argument("--output", type=Path, help="write the tables into this file, too")
    args = common.start(parser)
    if args.quick:
        args.sets, args.seeds = args.sets or QUICK_SETS, 1
    results: dict[str, list[SetRuns]] = {}
    for title, extractor in extractors(args.data).items():
        for folder in find_sets(args.data, args.sets):
            data = split_features(folder, extractor, args.threads)
            results.setdefault(title, []).append(measure(folder.name, data, args))
            note(f"{title}, {folder.name}: {results[title][-1].runs}")
    report = "\n".join(
        [
            f"## Multilayer perceptron, one hidden layer of {_UNITS}\n",
            *([] if plain_perceptron.HAS_TORCH else ["torch is not installed: left out.\n"]),
            *(tables.text(title, sets) for title, sets in results.items()),
            tables.verdict(results),
        ]
    )
    say(report)
    if args.output is not None:
        args.output.write_text(report, encoding="utf-8")


def measure(name: str, data: SplitFeatures, args: argparse.Namespace) -> SetRuns:
    """Every contender with every seed, in turns; then in folds."""
    fits = {OURS: lambda x, y, seed: ours(data.labels, x, y, seed)}
    for title, make in rivals().items():
        chosen = plain_perceptron.best_threads(
            make, _UNITS, args.threads, data.train, data.train_truth
        )
        note(f"{title}: {chosen} threads")
        fits[title] = make(_UNITS, chosen)
    runs: dict[str, list[Run]] = {title: [] for title in fits}
    for seed in range(args.seeds):
        for title, fit in fits.items():
            runs[title].append(run(fit, data, seed))
    return SetRuns(
        name, len(data.test), runs, {title: folded(fit, data) for title, fit in fits.items()}
    )


def rivals() -> dict[str, plain_perceptron.Make]:
    """By title, those that are installed."""
    found: dict[str, plain_perceptron.Make] = {"scikit-learn": plain_perceptron.scikit_learn}
    if plain_perceptron.HAS_TORCH:
        found["torch"] = plain_perceptron.torch_loop
    return found


def ours(labels: tuple[str, ...], features: np.ndarray, truth: np.ndarray, seed: int) -> Fitted:
    """The final fit of an `ImageClassifier` without augmentation."""
    from silverprint import MultilayerPerceptron, _core
    from silverprint.classifier.fit import Fit
    from silverprint.classifier.problem import Problem

    classifier = MultilayerPerceptron([_UNITS])
    rows = np.arange(len(truth))
    problem = Problem(features, rows, 0, truth, [], None, labels, classifier, None, seed)
    fit = Fit(problem, rows, float(classifier.l2), final=True)
    cancel = _core.runtime.CancelToken()
    while fit.step(cancel):
        pass
    return Fitted(fit.probabilities, fit.iterations)


def run(fit: Fit, data: SplitFeatures, seed: int) -> Run:
    """One fit on the training part, timed and judged on the test part."""
    fitted: list[Fitted] = []
    seconds = common.timed(lambda: fitted.append(fit(data.train, data.train_truth, seed)))
    answers = fitted[0].probabilities(data.test)
    return Run(
        float(np.mean(answers.argmax(axis=1) == data.test_truth)),
        _log_loss(data.test_truth, answers),
        seconds,
        fitted[0].iterations,
    )


def folded(fit: Fit, data: SplitFeatures) -> Folded:
    """Every picture answered by a fit on the other folds, whose seed is the fold's number."""
    features = np.concatenate([data.train, data.test])
    truth = np.concatenate([data.train_truth, data.test_truth])
    answers = np.zeros((len(truth), len(data.labels)))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(features, truth)
    for seed, (train, held) in enumerate(folds):
        answers[held] = fit(features[train], truth[train], seed).probabilities(features[held])
    return Folded(answers.argmax(axis=1) == truth, _log_loss(truth, answers))


def _log_loss(truth: np.ndarray, answers: np.ndarray) -> float:
    """Cut where a float32 beside 1 ends, as `ClassifierMetrics` does."""
    own = answers[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.maximum(own, np.finfo(np.float32).eps)).mean())


if __name__ == "__main__":
    main()
