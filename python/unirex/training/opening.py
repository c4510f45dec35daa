"""Opens the folder of a run: for one run at a time, and never for two runs mixed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from unirex.config.checks import unread
from unirex.config.files import check_output
from unirex.config.identity import RESUMABLE, difference, with_own_tables
from unirex.config.run import RunConfig, completed, plain, to_yaml
from unirex.disk import checkpoint
from unirex.disk.atomic import atomic_write
from unirex.disk.lock import only_here
from unirex.disk.run_folder import RunFolder
from unirex.disk.untrusted import read_yaml
from unirex.judging.gather import from_main


@contextmanager
def alone(accelerator: Accelerator, folder: RunFolder) -> Iterator[None]:
    """Holds the run's folder for this run; every process learns if another run has it.

    Raises:
        ValueError: another running process writes it.
    """
    with ExitStack() as held:

        def take() -> None:
            folder.path.mkdir(parents=True, exist_ok=True)
            held.enter_context(only_here(folder.lock))

        from_main(accelerator, take)
        yield


def open_run(
    accelerator: Accelerator,
    config: RunConfig,
    folder: RunFolder,
    write_data: Callable[[bool], None] = lambda _: None,
) -> None:
    """Makes the run's folder, writes the configuration and the data; refuses to mix two runs in one folder."""
    stored = folder.config
    goes_on = folder.begun() and config.resume
    before = stored_config(stored) if goes_on else None
    if before is not None:
        _check_same(before, config, stored)
    check_output(config)
    accelerator.wait_for_everyone()

    def write() -> None:
        if config.overwrite and not config.resume:
            folder.clear()
        folder.path.mkdir(parents=True, exist_ok=True)
        write_data(goes_on)
        for place in folder.stages():
            checkpoint.recover(place.path)
        if before is not None and difference(before, plain(config)) is not None:
            folder.drop_results()  # which would be taken for those of these settings
        with atomic_write(stored, "w") as file:
            file.write(to_yaml(config))

    from_main(accelerator, write)


def stored_config(path: Path) -> dict[str, Any]:
    """The configuration that a run's folder holds, as it would be written now."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected the configuration of the run")
    return completed(content)


def _check_same(before: Mapping[str, Any], config: RunConfig, stored: Path) -> None:
    """Refuses a resumption with other settings that something reads."""
    # What auto was is in the checkpoint.
    resolved = {"train.precision"} if before["train"]["precision"] == "auto" else set()
    now = with_own_tables(plain(config))
    found = difference(with_own_tables(before), now, {*RESUMABLE, *resolved, *unread(config)})
    if found is not None:
        key, old, new = found
        raise ValueError(f"--resume: {key} is {new!r}, expected {old!r} as in {stored}")
