"""`unirex.train(data, …)`: a run as of the command, started from Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from unirex.api.tables import as_yaml, check_sections, given
from unirex.api.trained import Trained
from unirex.config.command_line import expand
from unirex.config.threads import spin_briefly
from unirex.disk.run_folder import RunFolder
from unirex.text import shown

if TYPE_CHECKING:
    from unirex.methods.method import Method
    from unirex.training.hooks import Callback, Loss

DEFAULT_OUTPUT = "runs/table"
"""Folder of a run on a table or a file, where none is given."""


class Settings(TypedDict, total=False):
    """Settings of a run by keyword: the sections and keys of its YAML.

    Attributes:
        model: a section, or only its `backbone`.
        method: a section, or only its `name`; a name may also be a subclass of `Method`.
        train, eval, data: sections; columns have an argument of their own.
        seed, preset, resume, overwrite, trained: as on the command line.
    """

    model: str | Mapping[str, Any]
    method: "str | type[Method] | Mapping[str, Any]"
    train: Mapping[str, Any]
    eval: Mapping[str, Any]
    data: Mapping[str, Any]
    seed: int
    preset: str
    resume: bool
    overwrite: bool
    trained: str


def train(
    data: Any,
    /,
    *,
    columns: Mapping[str, Any] | None = None,
    config: str | Path | Sequence[str | Path] | None = None,
    output: str | Path | None = None,
    callbacks: "Callback | Sequence[Callback]" = (),
    loss: "Loss | None" = None,
    **settings: Unpack[Settings],
) -> Trained:
    """The model that a run trains and judges, with all that the run leaves in its folder.

    Args:
        data: a table (pandas, polars, Arrow, a `datasets.Dataset`, a dictionary of columns, a list of dictionaries), a
            dictionary from `train`, `val` and `test` to tables, a file, or a recipe's name. What lacks a val
            split gets one drawn by class and gold, from `data.seed`.
        columns: which columns of a table hold what, the section `data.hub`; default: by usual names (docs/howto/
            notebook.md).
        config: names of recipes or YAML files below the settings.
        output: folder of the run; default: what a recipe says, `runs/table` for a table or a file.
        callbacks: one or several, called with an `unirex.Event` as the run goes on.
        loss: a function from `unirex.training.hooks.Outputs` and the batch to a tensor, or tensors by name: a mean, or
            one number for each instance. They are added to the method's terms.
        **settings: sections of the YAML by keyword, such as `train={"epochs": 3}`.

    Raises:
        ValueError: bad input or settings, in one line.
        unirex.training.stopping.StoppedError: `train.max_time` is over; the state is saved.
    """
    spin_briefly()
    found = given(data)  # refuses before torch is imported
    from unirex.config.files import check_output
    from unirex.config.run import parse
    from unirex.training.hooks import Hooks, name_of
    from unirex.training.run import run
    from unirex.training.stopping import TIME_IS_OVER, Stop, StoppedError

    content = _sections(settings)
    check_sections({**content, "columns": columns})
    if callable(callbacks):
        callbacks = (callbacks,)
    hooks = Hooks(callbacks=tuple(callbacks), loss=loss)
    if output is not None or found.config is None:
        content["output"] = expand(str(DEFAULT_OUTPUT if output is None else output), "output")
    folder = RunFolder(content.get("output", "")).tables
    content["data"] = found.settings(folder, columns or {}, content.get("data", {}))
    if loss is not None:
        content["train"] = {**content.get("train", {}), "loss": name_of(loss)}
    recipes = [config] if isinstance(config, str | Path) else config or ()
    if not isinstance(recipes, Sequence) or not all(isinstance(one, str | Path) for one in recipes):
        raise ValueError(f"config is {shown(config)}, expected names of recipes or files")
    with TemporaryDirectory() as temporary:
        own = as_yaml(content, Path(temporary) / "settings.yaml")
        files = [*([] if found.config is None else [found.config]), *recipes, own]
        made = parse([f"--config={file}" for file in files], prog="unirex.train", description="")
    check_output(made)
    stop = Stop()
    try:
        run(made, stop, hooks, lambda resumed: found.write(folder, resumed=resumed))
    except (StoppedError, KeyboardInterrupt) as error:
        if stop.code != TIME_IS_OVER:
            raise
        raise StoppedError(f"stopped ({stop.cause}); the same call with resume=True goes on from there") from error
    return Trained(made.output)


def _sections(settings: Settings) -> dict[str, Any]:
    """The settings, with the sections of a model and a method that are given by a name, or by a class."""
    found: dict[str, Any] = dict(settings)
    if isinstance(found.get("model"), str | Path):
        found["model"] = {"backbone": str(found["model"])}
    if isinstance(found.get("method"), str | type):
        found["method"] = {"name": found["method"]}
    method = found.get("method")
    if isinstance(method, Mapping) and isinstance(method.get("name"), type):
        from unirex.methods import add_method

        found["method"] = {**method, "name": add_method(method["name"])}
    return found
