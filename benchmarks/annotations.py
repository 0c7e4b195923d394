"""Annotations of the size of COCO: seconds and memory to parse and check them.

The pictures are empty files, for none is opened; finding them in their folder counts.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import common
from common import note, say, spread, table

PICTURES, BOXES, LABELS = 115_000, 860_000, 80
MOST_SECONDS, MOST_MEGABYTES = 15.0, 2000.0
_CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
import common
import silverprint as sp
sp.DataSource  # loaded before the clock starts
common.reset_peak_memory()
begin, busy = time.perf_counter(), time.process_time()
source = sp.DataSource.directory_with_images(sys.argv[2], sys.argv[3])
seconds, busy = time.perf_counter() - begin, time.process_time() - busy
print(seconds, busy, common.peak_memory(), len(source), sum(source.counts.values()))
"""


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    args = common.start(parser)
    shrink = 100 if args.quick else 1
    pictures, boxes = PICTURES // shrink, BOXES // shrink
    rows = []
    slow = []
    with common.work_folder(args) as work:
        folder = work / f"annotations-{pictures}"
        files = made(folder, pictures, boxes)
        for kind, file in files.items():
            seconds, busy, megabytes = [], [], []
            for _ in range(1 if args.quick else args.rounds):
                here = str(Path(__file__).parent)
                command = [sys.executable, "-c", _CHILD, here, str(folder / "images"), str(file)]
                answer = subprocess.run(command, check=True, capture_output=True, text=True)
                words = answer.stdout.split()
                if words[3:] != [str(pictures), str(boxes)]:
                    raise SystemExit(f"{kind}: read {words[3]} pictures and {words[4]} boxes")
                seconds.append(float(words[0]))
                busy.append(float(words[1]))
                megabytes.append(float(words[2]))
            if min(seconds) > MOST_SECONDS or max(megabytes) > MOST_MEGABYTES:
                slow.append(kind)
            size = f"{file.stat().st_size / 1e6:.0f} MB"
            wall, processor = spread(seconds, 1, " s"), spread(busy, 1, " s")
            rows.append((kind, size, wall, processor, spread(megabytes, 0, " MB")))
    say(f"## Annotations: {pictures:,} pictures, {boxes:,} boxes\n")
    header = ["form", "file", "parse and check", "of it on the processor", "peak memory"]
    say(table(header, rows))
    if slow:
        raise SystemExit(
            f"above {MOST_SECONDS:.0f} s or {MOST_MEGABYTES:.0f} MB: {', '.join(slow)}"
        )


def made(folder: Path, pictures: int, boxes: int) -> dict[str, Path]:
    """The same boxes in each form, and a folder of pictures; made once."""
    names = ["boxes of Create ML", "boxes of COCO", "COCO with outlines"]
    files = [folder / f"{name}.json" for name in ("createml", "coco", "coco-outlines")]
    if not (folder / "done").exists():
        note(f"making {pictures:,} pictures and {boxes:,} boxes")
        (folder / "images").mkdir(parents=True, exist_ok=True)
        for number in range(pictures):
            (folder / "images" / f"{number:012}.jpg").touch()
        rows = list(random_boxes(pictures, boxes))
        write_createml(files[0], rows, pictures)
        write_coco(files[1], rows, pictures, outline=0)
        write_coco(files[2], rows, pictures, outline=50)
        (folder / "done").touch()
    return dict(zip(names, files, strict=True))


def random_boxes(pictures: int, boxes: int) -> Iterator[tuple[int, int, list[float]]]:
    """Picture, label, and left, top, width, height; all within 640 x 480 pixels."""
    draw = random.Random(0)
    for number in range(boxes):
        left, top = draw.uniform(0, 600), draw.uniform(0, 440)
        sides = [draw.uniform(2, 639 - left), draw.uniform(2, 479 - top)]
        # Not in the order of the pictures, as in COCO.
        picture = number * 7919 % pictures
        yield picture, draw.randrange(LABELS), [round(x, 2) for x in (left, top, *sides)]


def write_createml(file: Path, rows: list[tuple[int, int, list[float]]], pictures: int) -> None:
    """Centre, width and height, picture by picture."""
    entries: list[dict[str, object]] = []
    lists: list[list[object]] = [[] for _ in range(pictures)]
    for picture, label, (left, top, width, height) in rows:
        at = {"x": left + width / 2, "y": top + height / 2, "width": width, "height": height}
        lists[picture].append({"label": f"label {label}", "coordinates": at})
    for number, inside in enumerate(lists):
        entries.append({"image": f"{number:012}.jpg", "annotations": inside})
    file.write_text(json.dumps(entries))


def write_coco(
    file: Path, rows: list[tuple[int, int, list[float]]], pictures: int, *, outline: int
) -> None:
    """As published: ids, areas and, with `outline` numbers each, segmentations."""
    images = [
        {"id": n, "file_name": f"{n:012}.jpg", "width": 640, "height": 480, "license": 1}
        for n in range(pictures)
    ]
    categories = [{"id": n, "name": f"label {n}", "supercategory": "none"} for n in range(LABELS)]
    head = json.dumps({"info": {}, "images": images, "categories": categories})
    draw = random.Random(1)
    points = [round(draw.uniform(0, 480), 2) for _ in range(outline)]
    with file.open("w") as out:
        out.write(f'{head[:-1]}, "annotations": [')
        for number, (picture, label, box) in enumerate(rows):
            annotation = {
                "id": number,
                "image_id": picture,
                "category_id": label,
                "bbox": box,
                "area": round(box[2] * box[3], 2),
                "iscrowd": 0,
                "segmentation": [points] if outline else [],
            }
            out.write((", " if number else "") + json.dumps(annotation))
        out.write("]}")


if __name__ == "__main__":
    main()
