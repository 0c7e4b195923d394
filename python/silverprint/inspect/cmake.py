"""Where C and C++ builds find the library that this package carries."""

from __future__ import annotations

from pathlib import Path

from silverprint import _core
from silverprint.errors import SilverprintError


def get_cmake_dir() -> str:
    """The folder for CMake's ``find_package(silverprint)``: ``cmake -Dsilverprint_DIR=...``.

    The package carries the embeddable library, its headers and its CMake configuration.

    Raises:
        SilverprintError: this is a source tree that was not installed.
    """
    # Beside the extension: with an editable installation the Python files lie elsewhere.
    package = Path(_core.__file__ or "").parent
    folder = package / "lib" / "cmake" / "silverprint"
    if not (folder / "silverprintConfig.cmake").is_file():
        raise SilverprintError(
            f"{package}: holds no CMake package, as a source tree before its installation; "
            "pip install silverprint, or cmake --install a build of the source"
        )
    return str(folder)
