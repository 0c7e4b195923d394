"""Logistic regression to 1e-6 of the optimum: ours against every fitting solver of scikit-learn.

MobileNetV2 features of random crops of shared pictures, standardised once, the same float32
numbers for all. The optimum is the lowest objective that anybody reached in a long run, evaluated
in float64. Each rival is watched once to find the first iteration that is within the target, then
timed from nothing with exactly that many iterations; ours likewise. The best rival then runs
against ours, A B A B.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import common
import numpy as np
import plain_logistic as rivals
from common import note, ratios, say, spread, table
from crops import load_features
from logistic_problem import Problem, Weights, solve

_SIZES = ((5000, 10), (20000, 50))
_QUICK_SIZES = ((1000, 5),)
_PENALTIES = (0.05, 0.01, 0.001)
_DEFAULT_TOLERANCE = 1e-5
_TIGHT = 1e-10


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
        "--rival-seconds", type=float, default=30.0, help="what each rival may take to get there"
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
    contenders, misses = find_rivals(problem, optimum, target, rival_seconds, hopeless)
    for contender in contenders:
        contender()
    fastest = min(contenders, key=lambda c: c.seconds[0], default=None)
    others = [contender for contender in contenders if contender is not fastest]
    if fastest is not None:
        fastest.seconds.clear()
    for _ in range(rounds):
        ours()
        if fastest is not None:
            fastest()
    rows = [_row(ours, ours, problem, best, optimum)]
    if fastest is not None:
        rows.append(_row(fastest, ours, problem, best, optimum))
    rows += [_row(other, ours, problem, best, optimum) for other in others]
    rows += [(title, reason, "", "", "", "") for title, reason in misses]
    header = ["", "seconds", "silverprint is faster by", "excess", "equal labels", "memory, MB"]
    say(table(header, rows))
    say_converged(problem, threads)


def find_optimum(problem: Problem, threads: int) -> tuple[Weights, float]:
    """The lowest point known: our solver run tight, then float64 Newton-CG from there."""
    note("the optimum")
    _, best = solve(problem, _TIGHT, threads)
    best = rivals.improve(problem, best, seconds=15)
    return best, problem.value(best)


def find_rivals(
    problem: Problem, optimum: float, target: float, seconds: float, hopeless: dict[str, str]
) -> tuple[list[Timed], list[tuple[str, str]]]:
    """The solvers that reach the target, and (solver, how far it came) of the others.

    None is given more than three times what the fastest so far took. One that did not finish a
    single iteration by then is entered in `hopeless`, and not run again at this size.
    """
    found, misses = [], []
    for solver, dtype in rivals.SOLVERS:
        title = f"scikit-learn {solver} {dtype}"
        reason = hopeless.get(title) or rivals.infeasible(problem, solver)
        if reason:
            misses.append((title, f"not run: {reason}"))
            continue
        note(title)
        result = rivals.search(problem, solver, dtype, optimum, target, seconds)
        if result.iterations is None:
            reason = f"not reached in {result.seconds:.1f} s: excess {result.excess:.0e}"
            misses.append((title, reason))
            if result.tried <= 1:
                hopeless[title] = f"one iteration takes {result.seconds:.1f} s"
            continue
        seconds = min(seconds, max(1.0, 3 * result.seconds))
        found.append(
            Timed(
                f"{title}, {result.iterations} iterations",
                lambda s=solver, d=dtype, i=result.iterations: rivals.fit(problem, s, d, i),
            )
        )
    return found, misses


def say_converged(problem: Problem, threads: int) -> None:
    """Both as they come: our default tolerance, scikit-learn's lbfgs run until it stops."""
    ours = Timed("", lambda: solve(problem, _DEFAULT_TOLERANCE, threads)[1])
    theirs = Timed("", lambda: rivals.fit(problem, "lbfgs", "float32", 5000, 1e-6))
    ours()
    theirs()
    difference = problem.value(ours.weights) / problem.value(theirs.weights) - 1
    equal = np.mean(problem.answers(ours.weights) == problem.answers(theirs.weights))
    say(
        f"At our default tolerance ({ours.seconds[0]:.2f} s) against scikit-learn's lbfgs with "
        f"tol=1e-6 ({theirs.seconds[0]:.2f} s): objective {difference:+.1e} relative, "
        f"{100 * equal:.2f} % equal labels.\n"
    )


def _row(
    timed: Timed, ours: Timed, problem: Problem, best: Weights, optimum: float
) -> tuple[object, ...]:
    excess = problem.value(timed.weights) / optimum - 1
    equal = 100 * np.mean(problem.answers(timed.weights) == problem.answers(best))
    if len(timed.seconds) == len(ours.seconds):
        faster = spread(ratios(ours.seconds, timed.seconds), 2, "×")
    else:
        faster = f"{timed.seconds[0] / np.median(ours.seconds):.2f}× (1 run)"
    return (
        timed.title,
        spread(timed.seconds, 2),
        faster,
        f"{excess:.1e}",
        f"{equal:.2f} %",
        f"{timed.megabytes:.0f}",
    )


if __name__ == "__main__":
    main()
