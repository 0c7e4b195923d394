"""Makes classifier-1.onnx and classifier-1.json: python tests/formats/make_classifier.py"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import silverprint as sp  # noqa: E402
from silverprint.model.compose import FORMAT_VERSION  # noqa: E402
from support import graphs  # noqa: E402
from support.classifier_sets import draw_set  # noqa: E402
from support.sample_picture import sample_picture  # noqa: E402


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        backbone = graphs.saved(graphs.backbone(shape=("N", 3, 16, 24)), Path(folder) / "tiny.onnx")
        extractor = sp.CustomFeatureExtractor(backbone, mean=(128, 128, 128), std=(64, 64, 64))
        classifier = sp.ImageClassifier(
            draw_set(Path(folder) / "pictures", {"red": 8, "green": 8, "blué": 8}),
            sp.ModelParameters(
                feature_extractor=extractor,
                classifier=sp.LogisticRegressor(l2=3.0),
                crop_and_scale="scale_fit",
            ),
            progress=False,
        )
        classifier.write(HERE / f"classifier-{FORMAT_VERSION}.onnx")
    expected = {
        "labels": classifier.labels,
        "probabilities": classifier.probabilities([sample_picture()])[0].tolist(),
    }
    text = json.dumps(expected, indent=2, ensure_ascii=False) + "\n"
    (HERE / f"classifier-{FORMAT_VERSION}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
