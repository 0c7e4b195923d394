"""Features and heads as scikit-learn's estimators."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import silverprint as sp
from silverprint import _core
from support.children import run_python
from support.classifier_sets import COLOURS, draw_set, shared_part
from support.guests import pictures, tiny_extractor

sklearn = pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_digits, make_classification  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import (  # noqa: E402
    check_estimator,
    estimator_checks_generator,
    parametrize_with_checks,
)
from sklearn.utils.validation import validate_data  # noqa: E402

from silverprint.sklearn import FeatureTransformer, HeadClassifier  # noqa: E402


class RowsAsPictures(FeatureTransformer):
    """Numbers as pictures of one row, so that scikit-learn's checks have something to give."""

    def fit(self, X: Any, y: object = None) -> RowsAsPictures:  # noqa: N803
        validate_data(self, X)
        return super().fit(X)

    def transform(self, X: Any) -> Any:  # noqa: N803
        values = validate_data(self, X, reset=False, dtype=np.float64, order="C")
        rows = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), 1, -1)
        return super().transform(list(rows))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.no_validation = False
        return tags


@parametrize_with_checks([HeadClassifier(), HeadClassifier(l2=0.1), RowsAsPictures()])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_contract_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_the_checks_without_data_hold_for_the_transformer_itself() -> None:
    check_estimator(FeatureTransformer())


def test_the_contract_is_asked_in_many_ways() -> None:
    def count(estimator: Any) -> int:
        return sum(1 for _ in estimator_checks_generator(estimator))

    assert count(HeadClassifier()) > 50
    assert count(RowsAsPictures()) > 40


# The head


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_head_is_the_one_that_training_fits(tmp_path: Path, class_weight: Any) -> None:
    counts = {"red": 20, "green": 8, "blue": 12}
    data = sp.DataSource.of(draw_set(tmp_path / "set", counts))
    extractor = tiny_extractor(tmp_path)
    parameters = sp.ModelParameters(
        feature_extractor=extractor,
        classifier=sp.LogisticRegressor(l2=0.03, class_weights=class_weight),
        validation=None,
    )
    paths, labels = zip(*data.items, strict=True)
    head = HeadClassifier(l2=0.03, class_weight=class_weight).fit(extractor.extract(paths), labels)
    assert list(head.classes_) == list(data.labels)
    np.testing.assert_allclose(
        head.predict_proba(extractor.extract(paths)),
        sp.ImageClassifier(data, parameters, progress=False).probabilities(paths),
        atol=2e-5,
    )


def test_l2_auto_is_chosen_from_the_grid_of_training_by_held_out_answers() -> None:
    from silverprint.classifier.parameters import L2_GRID

    noise = make_classification(
        300, 40, n_informative=3, n_redundant=0, flip_y=0.3, random_state=0, n_classes=2
    )
    clear = load_digits(return_X_y=True)
    chosen = [HeadClassifier().fit(*data).l2_ for data in (noise, clear)]
    assert set(chosen) <= set(L2_GRID)
    assert chosen[0] > chosen[1]
    again = HeadClassifier().fit(noise[0][::-1], noise[1][::-1])
    assert again.l2_ == chosen[0]  # folds follow from the rows, not from their order


def test_it_finds_the_minimum_that_scikit_learn_finds() -> None:
    """Ours: mean log loss + l2/2 |W|²; theirs: C * sum + 1/2 |W|², so C = 1 / (l2 n)."""
    x, y = load_digits(return_X_y=True)
    x = x[:, x.std(axis=0) > 0].astype(np.float32)[:600]
    x, y = x[:, x.std(axis=0) > 0], y[:600]
    l2 = 0.01
    ours = HeadClassifier(l2=l2).fit(x, y)
    theirs = make_pipeline(
        StandardScaler(), LogisticRegression(C=1 / (l2 * len(x)), max_iter=5000, tol=1e-8)
    ).fit(x, y)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=2e-3)


def test_two_classes_have_one_score() -> None:
    x, y = make_classification(80, 6, random_state=1)
    head = HeadClassifier(l2=0.1).fit(x, np.where(y == 1, "dog", "cat"))
    assert head.coef_.shape == (1, 6)
    assert head.intercept_.shape == (1,)
    scores, probabilities = head.decision_function(x), head.predict_proba(x)
    assert (scores.shape, probabilities.shape) == ((80,), (80, 2))
    np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-scores)), atol=1e-12)
    assert (head.predict(x) == np.where(scores > 0, "dog", "cat")).all()
    assert head.score(x, np.where(y == 1, "dog", "cat")) > 0.8


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"l2": -1.0}, "l2=-1.0: expected 'auto' or a positive number"),
        ({"l2": "automatic"}, "l2='automatic'"),
        ({"class_weight": {0: 0.0}}, r"class_weight\[0\]=0.0: expected a number from 1e-6"),
        ({"class_weight": {0: "much"}}, r"class_weight\[0\]='much': expected a number"),
        ({"max_iter": 1.5}, "max_iter=1.5: expected None or a whole number above 0"),
        ({"tol": "small"}, "tol='small': expected a number above 0"),
        ({"max_iter": 0}, "max_iter=0: expected None or a whole number above 0"),
        ({"tol": 0.0}, "tol=0.0"),
    ],
)
def test_wrong_parameters_are_named_when_fitting(parameters: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HeadClassifier(**parameters).fit([[0.0], [1.0]], [0, 1])


def test_too_few_iterations_are_a_convergence_warning() -> None:
    x, y = load_digits(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        head = HeadClassifier(l2=1e-4, max_iter=1).fit(x, y)
    assert head.n_iter_ == 1


def test_one_class_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="only one class in the data, 'cat'"):
        HeadClassifier().fit([[0.0], [1.0]], ["cat", "cat"])


# Pictures to features


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[str]]:
    data = sp.DataSource.of(draw_set(tmp_path_factory.mktemp("painted")))
    return [path for path, _ in data.items], [label for _, label in data.items]


@pytest.fixture
def transformer(tmp_path: Path) -> FeatureTransformer:
    return FeatureTransformer(tiny_extractor(tmp_path))


def forms(paths: list[Path]) -> Iterator[Any]:
    from PIL import Image

    yield paths
    yield [str(path) for path in paths]
    yield np.array([str(path) for path in paths])
    yield np.array(paths, object)
    yield np.array(paths, object)[:, None]
    yield [path.read_bytes() for path in paths]
    yield [Image.open(path) for path in paths]
    yield [np.asarray(Image.open(path)) for path in paths]
    yield np.stack([np.asarray(Image.open(path)) for path in paths])
    pandas = pytest.importorskip("pandas")
    yield pandas.Series([str(path) for path in paths])
    yield pandas.DataFrame({"path": paths})


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_pictures_may_come_in_any_form(
    painted: tuple[list[Path], list[str]], transformer: FeatureTransformer
) -> None:
    paths = painted[0][:5]
    expected = transformer.feature_extractor.extract(paths)
    for form in forms(paths):
        features = transformer.transform(form)
        assert features.dtype == np.float32
        assert features.tobytes() == expected.tobytes()


def test_features_have_names(transformer: FeatureTransformer) -> None:
    names = transformer.fit([]).get_feature_names_out()
    assert names.tolist() == [f"featuretransformer{i}" for i in range(5)]


def test_features_may_be_a_frame(transformer: FeatureTransformer) -> None:
    pytest.importorskip("pandas")
    frame = transformer.set_output(transform="pandas").fit_transform(pictures(3))
    assert frame.shape == (3, 5)
    assert frame.columns[0] == "featuretransformer0"


def test_the_default_is_the_built_in_print_shared_by_all() -> None:
    features = FeatureTransformer().fit_transform(pictures(2))
    assert features.tobytes() == sp.ScenePrint().extract(pictures(2)).tobytes()


@pytest.mark.parametrize("wrong", ["a.jpg", np.zeros((3, 4)), 7, [["a.jpg", "b.jpg"]]])
def test_what_is_no_list_of_pictures_is_refused(
    wrong: Any, transformer: FeatureTransformer
) -> None:
    with pytest.raises(sp.SilverprintError):
        transformer.transform(wrong)
    with pytest.raises(sp.InvalidParameterError, match="one column of pictures"):
        transformer.transform(np.array([["a.jpg", "b.jpg"]]))


def test_an_extractor_must_be_one() -> None:
    with pytest.raises(sp.InvalidParameterError, match="feature_extractor='resnet'"):
        FeatureTransformer("resnet").fit([])  # type: ignore[arg-type]


# Together


def test_they_work_in_pipelines_searches_and_clones(
    painted: tuple[list[Path], list[str]], transformer: FeatureTransformer
) -> None:
    paths, labels = painted
    pipeline = make_pipeline(transformer, HeadClassifier(l2=0.01))
    assert cross_val_score(pipeline, paths, labels, cv=4).mean() > 0.9
    search = GridSearchCV(pipeline, {"headclassifier__l2": [0.3, 0.003]}, cv=3, n_jobs=2)
    search.fit(paths, labels)
    assert search.best_score_ > 0.9
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    assert again.predict(paths).tolist() == search.predict(paths).tolist()
    copied = clone(pipeline)
    assert copied[0].feature_extractor == transformer.feature_extractor
    assert copied.fit(paths, labels).predict_proba(paths).shape == (len(paths), len(COLOURS))


def test_the_accuracy_on_real_pictures_is_that_of_our_own_training(shared_data: Path) -> None:
    train, test = (shared_part(shared_data, "animals", part, 12) for part in ("train", "test"))
    pipeline = make_pipeline(FeatureTransformer(), HeadClassifier())
    pipeline.fit(*map(list, zip(*train.items, strict=True)))
    ours = sp.ImageClassifier(train, progress=False).evaluation(test).accuracy
    theirs = pipeline.score(*map(list, zip(*test.items, strict=True)))
    assert abs(ours - theirs) < 0.03


def test_without_scikit_learn_the_error_says_what_to_install() -> None:
    code = """
        import sys
        sys.modules["sklearn.base"] = None
        try:
            import silverprint.sklearn
        except ImportError as error:
            print(error)
    """
    assert "pip install 'silverprint[sklearn]'" in run_python(code).stdout


def test_the_core_is_what_solves(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    solver = _core.solve.LogisticRegression
    monkeypatch.setattr(
        _core.solve, "LogisticRegression", lambda *a: made.append(solver(*a)) or made[-1]
    )
    HeadClassifier(l2=0.1).fit([[0.0], [1.0]], [0, 1])
    assert [type(each) for each in made] == [solver]
