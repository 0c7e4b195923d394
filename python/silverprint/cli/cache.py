"""`silverprint cache`."""

from __future__ import annotations

from typing import Annotated

import typer

from silverprint.cli.output import Output

_NONE = "no feature cache: SILVERPRINT_CACHE is off, or there is no home folder"


def info(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Where the feature cache lies and what is in it."""
    from silverprint.features.cache import FeatureCache

    out = Output(json)
    cache = FeatureCache.default()
    if cache is None:
        out.say(_NONE)
        out.finish({"folder": None})
        return
    content = cache.info()
    out.say(f"folder: {content['folder']}")
    out.say(f"size: {_megabytes(content['size'])} of at most {_megabytes(content['limit'])}")
    out.say(f"pictures: {content['pictures']}")
    for kind in content["kinds"]:
        out.say(
            f"{kind['pictures']} pictures: {kind['dimension']} values each, "
            f"{kind['rule']['crop_and_scale']}, extractor {kind['fingerprint'][:12]}"
        )
        out.say(f"  {kind['numerics']}")
    out.finish(content)


def clear() -> None:
    """Delete all features from the cache; they are extracted anew when they are needed."""
    from silverprint.features.cache import FeatureCache

    cache = FeatureCache.default()
    if cache is None:
        print(_NONE)
        return
    before = cache.info()["size"]
    cache.clear()
    freed = before - cache.info()["size"]
    print(f"{cache.folder}: {_megabytes(freed)} freed")


def _megabytes(size: int) -> str:
    return f"{size / 10**6:.1f} MB"
