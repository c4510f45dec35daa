"""Recipes by name: those that are part of the package, and those in folders of the user's own."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from unirex.text import plain, suggest

PACKAGED = Path(__file__).parents[1] / "recipes"
"""Where the package's own recipes are."""

PARTS = ("", "data", "methods", "backbones")
"""Folders of recipes for one run that a name without a folder is looked for in."""

SUITES = ("", "suites")
"""The same for suites."""

_MOST_PARTS = 5
_NAME = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*")


def find_recipe(
    name: str, folders: Sequence[str] = (), *, inside: Sequence[str] = PARTS, key: str = "--config"
) -> Path:
    """The file that is meant: a path that exists, else the recipe of that name.

    A name is a path inside a folder of recipes without `.yaml`: `data/sst`, or `sst` where it is in one of the folders
    `inside`. The user's folders come before the package's.

    Raises:
        ValueError: one line: neither a file nor a recipe, with the nearest name and where was looked.

    >>> find_recipe("data/sst") == find_recipe("sst") == PACKAGED / "data" / "sst.yaml"
    True
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise ValueError(f"--include {folder}: no such folder")
    if Path(name).is_file():
        return Path(name)
    places = [Path(folder) for folder in folders]
    for place in (*places, PACKAGED):
        for part in inside:
            path = place / part / f"{name}.yaml"
            if _NAME.fullmatch(name) and path.is_file():
                return path
    if Path(name).is_dir():
        raise ValueError(f"{key} {name}: is a folder, expected a file or the name of a recipe")
    beside = {file.stem: str(file) for file in sorted(Path(name).parent.glob("*.y*ml"))}
    known = [*beside, *(known for place in (*places, PACKAGED) for known in names(place, inside))]
    where = " and ".join(["the current folder", *map(str, places), "the recipes of unirex (unirex ls recipes)"])
    stem = Path(name).stem
    near = f" (did you mean {plain(beside[stem])}?)" if stem in beside else suggest(stem, known)
    raise ValueError(f"{key} {name}: no such file or recipe{near}; looked in {where}")


def find_recipes(name: str, folders: Sequence[str] = ()) -> list[Path]:
    """The file that is meant, or where there is none of this name, those of its parts between slashes.

    Raises:
        ValueError: as `find_recipe`, about the first part that is none.

    >>> [path.stem for path in find_recipes("sst/slm-fp/minilm")]
    ['sst', 'slm-fp', 'minilm']
    """
    try:
        return [find_recipe(name, folders)]
    except ValueError:
        parts = name.split("/")
        if not 1 < len(parts) <= _MOST_PARTS or not _NAME.fullmatch(name) or Path(name).is_dir():
            raise
        known = [known for place in (*map(Path, folders), PACKAGED) for known in names(place)]
        if parts[0] not in known:  # a file's path, rather than parts
            raise
    return [find_recipe(part, folders) for part in parts]


def names(folder: Path, inside: Iterable[str] = PARTS) -> list[str]:
    """The names of the recipes in a folder: short ones, then those with their folder."""
    short = [path.stem for part in inside for path in sorted((folder / part).glob("*.yaml"))]
    full = [path.relative_to(folder).with_suffix("").as_posix() for path in sorted(folder.rglob("*.yaml"))]
    return [*short, *(name for name in full if name not in short)]


def about(path: Path) -> str:
    """The first sentence of the comment that a recipe begins with.

    >>> about(PACKAGED / "data" / "sst.yaml")
    "SST: sentiment of a sentence; gold derived from the treebank's phrase labels (docs/datasets.md)"
    """
    comment = []
    for text in path.read_text(encoding="utf-8").splitlines():
        if not text.startswith("#"):
            break
        comment.append(text.strip("# "))
    return re.split(r"(?<! al)\.(?:\s|$)", " ".join(comment), maxsplit=1)[0]
