"""Logistic regression to 1e-6 of the optimum: ours against every fitting solver of scikit-learn.

MobileNetV2 features of random crops of shared pictures, standardised once, the same float32
numbers for all. The optimum is the lowest objective that anybody reached in a long run, evaluated
in float64. Each rival is watched once to find the first iteration that is within the target, then
timed from nothing with exactly that many iterations; ours likewise. The best rival then runs
against ours, A B A B.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

import common
from common import note, ratios, say, spread, table
from crops import load_features
from logistic_problem import Problem, Weights, solve
from plain_logistic import Rival, fit, improve, infeasible, rivals, search

_SIZES = ((5000, 10), (20000, 50))
_QUICK_SIZES = ((1000, 5),)
_PENALTIES = (0.05, 0.01, 0.001)
_OWN_TOLERANCE = 1e-6
"""What `ImageClassifier` fits its head with."""

_MOST_ROWS_NAIVE = 5000
_TIGHT = 1e-10
_KNOWN = 1e-9
_SECONDS_OF_ROUNDS = 45.0
"""Long problems get fewer rounds of A B A B, but at least two."""


@dataclass
class Timed:
    """A way to the target, and what its runs gave."""

    title: str
    run: Callable[[], Weights]
    seconds: list[float] = field(default_factory=list)
    megabytes: float = 0.0
    weights: Weights | None = None

    def __call__(self) -> None:
        common.reset_peak_memory()
        before = common.resident_memory()
        self.seconds.append(common.timed(self._solve))
        self.megabytes = max(self.megabytes, common.peak_memory() - before)

    def _solve(self) -> None:
        self.weights = self.run()


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of A B A B")
    parser.add_argument("--l2", type=float, nargs="+", default=list(_PENALTIES))
    parser.add_argument("--target", type=float, default=1e-6, help="excess over the optimum")
    parser.add_argument(
        "--rival-seconds", type=float, default=20.0, help="what each rival may take to get there"
    )
    args = common.start(parser)
    say(f"## Logistic regression to {args.target:g} of the optimum, {args.threads} threads\n")
    with common.work_folder(args) as work:
        for rows, classes in _QUICK_SIZES if args.quick else _SIZES:
            features = load_features(args.data, work, rows, classes, args.threads)
            problem = Problem.make(features, classes, 1.0)
            dropped = features.train.shape[1] - problem.x.shape[1]
            say(f"### {rows} × {problem.x.shape[1]} × {classes} ({dropped} dead features left out)")
            say()
            hopeless: dict[str, str] = {}
            for l2 in [0.01] if args.quick else args.l2:
                note(f"{rows} x {classes}, l2 {l2:g}")
                compare(
                    replace(problem, l2=l2),
                    args.target,
                    args.threads,
                    args.rival_seconds,
                    args.rounds,
                    hopeless,
                )


def compare(
    problem: Problem,
    target: float,
    threads: int,
    rival_seconds: float,
    rounds: int,
    hopeless: dict[str, str],
) -> None:
    """Print the comparison on one problem."""
    best, optimum = find_optimum(problem, threads)
    bound = problem.gap_bound(best) / optimum
    say(f"l2 = {problem.l2:g}: optimum {optimum:.9f}, known to within {bound:.0e} of itself\n")

    def reached(_steps: int, weights: Callable[[], Weights]) -> bool:
        return problem.value(weights()) <= optimum * (1 + target)

    steps, _ = solve(problem, _TIGHT, threads, reached)
    ours = Timed(
        f"silverprint, {steps} iterations",
        lambda: solve(problem, _TIGHT, threads, lambda done, _: done == steps)[1],
    )
    own = Timed(
        f"silverprint, its own tolerance {_OWN_TOLERANCE:g}",
        lambda: solve(problem, _OWN_TOLERANCE, threads)[1],
    )
    lbfgs = Rival("lbfgs", "float32", threads, threads)
    naive = Timed("scikit-learn as it comes (lbfgs)", lambda: fit(problem, lbfgs, 100, 1e-4))
    # As it comes, the large problem takes minutes where another program is running.
    beside = [own, naive] if len(problem.x) <= _MOST_ROWS_NAIVE else [own]
    contenders, misses = find_rivals(problem, optimum, target, threads, rival_seconds, hopeless)
    for timed in [*contenders, *beside]:
        timed()
    contenders.sort(key=lambda timed: timed.seconds[0])
    raced = [ours, *contenders[:1]]
    for timed in raced:
        timed.seconds.clear()
    begin = time.perf_counter()
    for done in range(rounds):
        if done >= 2 and time.perf_counter() - begin > _SECONDS_OF_ROUNDS:
            break
        for timed in raced:
            timed()
    rows = []
    for timed in [*raced, *contenders[1:], *beside]:
        if timed in raced:
            faster = spread(ratios(ours.seconds, timed.seconds), 2, "×")
        else:
            faster = f"{timed.seconds[0] / np.median(ours.seconds):.2f}× (1 run)"
        excess = problem.value(timed.weights) / optimum - 1
        equal = 100 * np.mean(problem.answers(timed.weights) == problem.answers(best))
        rows.append(
            (
                timed.title,
                spread(timed.seconds, 2),
                faster,
                f"{excess:.1e}",
                f"{equal:.2f} %",
                f"{timed.megabytes:.0f}",
            )
        )
    rows += [(title, reason, "", "", "", "") for title, reason in misses]
    header = ["", "seconds", "silverprint is faster by", "excess", "equal labels", "memory, MB"]
    say(table(header, rows))


def find_optimum(problem: Problem, threads: int) -> tuple[Weights, float]:
    """The lowest point known: our solver run tight, then scikit-learn in float64 where needed."""
    note("the optimum")
    _, best = solve(problem, _TIGHT, threads)
    enough = _KNOWN * problem.value(best)
    if problem.gap_bound(best) > enough:
        best = improve(problem, best, threads, enough)
    return best, problem.value(best)


def find_rivals(
    problem: Problem,
    optimum: float,
    target: float,
    threads: int,
    seconds: float,
    hopeless: dict[str, str],
) -> tuple[list[Timed], list[tuple[str, str]]]:
    """The solvers that reach the target, and (solver, how far it came) of the others.

    None is given more than twice what the fastest so far took. One that did not finish a
    single iteration by then is entered in `hopeless`, and not run again at this size.
    """
    found, misses = [], []
    for rival in rivals(problem, threads):
        title = str(rival)
        reason = hopeless.get(title) or infeasible(problem, rival)
        if reason:
            misses.append((title, f"not run: {reason}"))
            continue
        note(title)
        result = search(problem, rival, optimum, target, seconds)
        if result.iterations is None:
            how = "ended by itself" if result.gave_up else "not there"
            reason = f"{how} after {result.seconds:.1f} s: excess {result.excess:.0e}"
            misses.append((title, reason))
            if result.tried <= 1:
                hopeless[title] = f"one iteration takes {result.seconds:.1f} s"
            continue
        seconds = min(seconds, max(1.0, 2 * result.seconds))
        found.append(
            Timed(
                f"{title}, {result.iterations} iterations",
                lambda r=rival, i=result.iterations: fit(problem, r, i),
            )
        )
    return found, misses


if __name__ == "__main__":
    main()
