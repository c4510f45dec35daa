"""Packages installed for a test in a folder of its own: built by their build backend, unpacked as an installer does."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = Path(__file__).parents[1] / "packages"
_BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


def install(package: Path, site: Path) -> None:
    """Builds the package in a folder and puts it into `site`; the folder stays as it is."""
    with tempfile.TemporaryDirectory() as work:
        _install(package, site, Path(work))


def _install(package: Path, site: Path, work: Path) -> None:
    source, wheels = work / "source", work / "wheels"
    shutil.copytree(package, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    wheels.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(wheels)], cwd=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)


def describe(site: Path, name: str, entry_points: str, **modules: str) -> None:
    """Puts a package into `site` by hand: its modules, and what an installer leaves of its metadata."""
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(entry_points)
    for module, code in modules.items():
        (site / f"{module}.py").write_text(code)


if __name__ == "__main__":  # in the place of `pip install`: the site, then pip's arguments, the package last
    install(Path(sys.argv[-1]), Path(sys.argv[1]))
