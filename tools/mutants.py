"""Changes one thing in a Python module at a time and sees whether its tests notice: a mutation run.

    python tools/mutants.py                                       # every file of TESTS
    python tools/mutants.py python/unirex/training/schedule.py --sample 40 # 40 of its mutants, drawn from the seed
    python tools/mutants.py FILE --tests TEST_FILE ...

Torch and its kin are imported once; each mutant lives in a forked process, where the module is loaded changed and its
tests run until the first fails. Nothing on the disk is changed. A mutant that uses up its time counts as killed.
`mutants-equivalent.txt`, beside this file, names the mutants that compute the same, and why; they are left out.
"""

import argparse
import ast
import importlib
import importlib.util
import math
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = Path(__file__).with_name("mutants-equivalent.txt")
TESTS = {
    "methods/objectives": ["test_objectives", "methods/test_losses"],
    "rationale/selection": ["test_selection", "test_relaxation", "methods/test_losses"],
    "training/schedule": ["test_schedule", "test_presets"],
    "rationale/perturb": ["test_perturb", "test_gates"],
    "judging/gather": ["test_judging", "reliability/test_processes"],
    "encoder/gates": ["test_gates"],
    "rationale/relaxation": ["test_relaxation"],
    "training/loop": ["test_optimizer", "test_training_run", "test_training"],
    "metrics/nrg": ["metrics/test_nrg"],
    "metrics/intervals": ["metrics/test_intervals", "metrics/test_comparison"],
    "metrics/seeds": ["metrics/test_seeds"],
    "metrics/pairing": ["metrics/test_pairing"],
    "metrics/comparison": ["metrics/test_comparison"],
    "metrics/definitions": ["metrics/test_definitions", "metrics/test_score"],
    "metrics/oddities": ["metrics/test_oddities"],
    "metrics/rows": ["metrics/test_rows", "metrics/test_score", "metrics/test_bad_input"],
    "metrics/state": ["metrics/test_state", "metrics/test_score"],
    "metrics/arrays": ["metrics/test_arrays"],
}
"""Module in python/unirex, and the files in tests/ that hold its tests; its doctests are among them always."""

COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}  # fmt: skip
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
}  # fmt: skip
_PAIRS = (
    "min max, amin amax, argmin argmax, any all, zeros ones, zeros_like ones_like, floor ceil, repeat repeat_interleave"
)
CALLED = {a: b for pair in _PAIRS.split(", ") for a, b in (pair.split(), pair.split()[::-1])}
LEFT_OUT = ("detach", "clamp", "masked_fill", "abs", "sort", "strip")
"""Methods whose call is replaced by the object it is called on."""
NOT_ENTERED = (ast.Import, ast.ImportFrom, ast.Assert, ast.JoinedStr, ast.Global, ast.Nonlocal)
NOT_READ = ("annotation", "returns", "decorator_list", "bases", "keywords_of_class", "type_params", "exc", "cause")


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A node's field (or one entry of it) that another value is put into.

    Attributes:
        owner: the node.
        field: its name.
        index: the entry, where the field is a list.
        new: what is put there.
        line: of the source.
        place: names of the function around it.
        shown: the node that is printed before and after; None = what is replaced itself.
    """

    owner: ast.AST
    field: str
    index: int | None
    new: Any
    line: int
    place: str
    shown: ast.AST | None

    @contextmanager
    def applied(self) -> Iterator[str]:
        """While it is in force; gives its name: place, before and after."""
        values = getattr(self.owner, self.field)
        old = values if self.index is None else values[self.index]
        before = _text(self.shown or old)
        self._put(self.new)
        try:
            yield f"{self.place}: {before}  =>  {_text(self.shown or self.new)}"
        finally:
            self._put(old)

    def _put(self, value: Any) -> None:
        if self.index is None:
            setattr(self.owner, self.field, value)
        else:
            getattr(self.owner, self.field)[self.index] = value


def _text(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0]


def mutations(node: ast.AST, place: str = "module", shown: ast.AST | None = None) -> Iterator[Mutation]:
    """Every mutation of what a node holds, in the order of the source; none of messages, types and docstrings."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        place = node.name if place == "module" else f"{place}.{node.name}"
    if isinstance(node, ast.stmt):
        shown = node
    shown = shown or node
    for field, value in ast.iter_fields(node):
        if field in NOT_READ or (field == "keywords" and isinstance(node, ast.ClassDef)):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, NOT_ENTERED) or _is_said(node, child):
                continue
            line = getattr(child, "lineno", getattr(node, "lineno", 0))
            for new in replacements(child, node):
                yield Mutation(
                    owner=node, field=field, index=index, new=new, line=line, place=place,
                    shown=None if isinstance(child, ast.stmt) else shown,
                )  # fmt: skip
            yield from mutations(child, place, shown)


def _is_said(parent: ast.AST, child: ast.AST) -> bool:
    """Whether a node is a docstring, a message on its way to `raise`, or a type."""
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
        return True
    if isinstance(child, ast.Subscript) and isinstance(child.value, ast.Name) and child.value.id == "Literal":
        return True
    return (
        isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name) and parent.targets[0].id == "message"
    )


def replacements(node: ast.AST, parent: ast.AST) -> Iterator[ast.AST]:
    """What a node may become."""
    if isinstance(node, ast.cmpop):
        yield from (kind() for kind in COMPARED.get(type(node), ()))
    elif isinstance(node, ast.operator) and type(node) in COMPUTED:
        yield COMPUTED[type(node)]()
    elif isinstance(node, ast.And | ast.Or):
        yield ast.Or() if isinstance(node, ast.And) else ast.And()
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from _other_constants(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEFT_OUT:
        yield node.func.value
    elif isinstance(node, ast.Break | ast.Continue):
        yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield ast.copy_location(ast.Pass(), node)
    if isinstance(node, ast.Attribute | ast.Name) and isinstance(parent, ast.Call) and node is parent.func:
        yield from _other_function(node)
    if isinstance(parent, ast.If | ast.IfExp | ast.While) and node is parent.test and not isinstance(node, ast.Compare):
        yield ast.copy_location(ast.UnaryOp(ast.Not(), node), node)


def _other_constants(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.copy_location(ast.Constant(not value), node)
    elif isinstance(value, int | float):
        yield ast.copy_location(ast.Constant(value + 1), node)
    elif isinstance(value, str):
        yield ast.copy_location(ast.Constant(value + "XX"), node)


def _other_function(node: ast.Attribute | ast.Name) -> Iterator[ast.AST]:
    name = node.attr if isinstance(node, ast.Attribute) else node.id
    if name not in CALLED:
        return
    if isinstance(node, ast.Attribute):
        yield ast.copy_location(ast.Attribute(node.value, CALLED[name], node.ctx), node)
    elif name in ("min", "max", "any", "all"):
        yield ast.copy_location(ast.Name(CALLED[name], node.ctx), node)


class Plugin:
    """Hypothesis without its memory and without shrinking, the same examples each time."""

    def pytest_collection(self) -> None:
        """After conftest.py has chosen a profile, before a test module reads it."""
        with suppress(ImportError):
            from hypothesis import Phase, settings

            settings.register_profile(
                "mutants", settings(), database=None, derandomize=True, phases=(Phase.explicit, Phase.generate)
            )
            settings.load_profile("mutants")


def start(path: Path, tree: ast.AST, tests: list[str], cpu: float, out: Path | None = None) -> int:
    """The id of a forked process that runs the tests where the module at `path` is `tree`, `cpu` seconds at most."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        sink = os.open(out or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(cpu), math.ceil(cpu) + 1))
        resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
        code = _run(path, tree, tests)
        sys.stdout.flush()
    finally:
        os._exit(code)


def _run(path: Path, tree: ast.AST, tests: list[str]) -> int:
    import pytest

    real = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> Any:
        if Path(self.path).resolve() == path:
            return compile(ast.fix_missing_locations(tree), str(path), "exec")  # type: ignore[call-overload]
        return real(self, fullname)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]
    code = pytest.main(["-x", "--assert=plain", "-p", "no:cacheprovider", "-m", "not slow", *tests], plugins=[Plugin()])
    loaded = [
        name for name, module in sys.modules.items() if "site-packages" in (getattr(module, "__file__", None) or "")
    ]
    if "MUTANTS_LOADED" in os.environ:
        Path(os.environ["MUTANTS_LOADED"]).write_text("\n".join(loaded), encoding="utf-8")
    return int(code)


def baseline(path: Path, tests: list[str]) -> float:
    """Seconds of the processor that the tests take with the module as it is, once everything else is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        names, out = Path(folder) / "names", Path(folder) / "out"
        os.environ["MUTANTS_LOADED"] = str(names)
        for _ in range(2):
            _, status, usage = os.wait4(start(path, tree, tests, 600, out), 0)
            if status:
                print(out.read_text(encoding="utf-8", errors="replace")[-2000:], file=sys.stderr)
                raise SystemExit(f"error: {path}: its tests do not pass as it is")
            for name in names.read_text(encoding="utf-8").split():
                with suppress(Exception):
                    importlib.import_module(name)
        del os.environ["MUTANTS_LOADED"]
    return usage.ru_utime + usage.ru_stime


def outcomes(
    path: Path, tree: ast.AST, tests: list[str], chosen: list[Mutation], jobs: int, cpu: float
) -> Iterator[tuple[Mutation, str, str]]:
    """Each mutation with its name and what came of it, so many tried at a time."""
    queue, running = chosen[::-1], dict[int, tuple[Mutation, str, float]]()
    equivalent = known_equivalent()
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    while queue or running:
        while queue and len(running) < jobs:
            mutation = queue.pop()
            with mutation.applied() as change:
                text = f"{name} {change}"
                if text in equivalent:
                    yield mutation, text, "equivalent"
                else:
                    running[start(path, tree, tests, cpu)] = (mutation, text, time.monotonic() + 60 * cpu)
        for pid, (mutation, text, deadline) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del running[pid]
                yield mutation, text, "survived" if status == 0 else "killed" if os.WIFEXITED(status) else "out of time"
            elif time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def wilson(killed: int, tried: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    >>> [round(end, 3) for end in wilson(90, 100)]
    [0.826, 0.945]
    """
    z, share = 1.959964, killed / tried
    middle = (share + z * z / (2 * tried)) / (1 + z * z / tried)
    half = z / (1 + z * z / tried) * math.sqrt(share * (1 - share) / tried + z * z / (4 * tried * tried))
    return middle - half, middle + half


def known_equivalent() -> set[str]:
    """The names of the mutants in `mutants-equivalent.txt`; the reasons stand after a #, above them."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines() if EQUIVALENT.exists() else []
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def measure(path: Path, tests: list[str], sample: int | None, seed: int, jobs: int) -> tuple[int, int]:
    """Tries a file's mutants, prints the survivors and the score; returns how many were killed, and tried."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    whole = chosen = list(mutations(tree))
    if sample is not None and sample < len(whole):
        chosen = random.Random(seed).sample(whole, sample)  # noqa: S311
    counts = {"killed": 0, "out of time": 0, "survived": 0, "equivalent": 0}
    for mutation, text, result in outcomes(path, tree, tests, chosen, jobs, 5 + 4 * baseline(path, tests)):
        counts[result] += 1
        if result == "survived":
            print(f"{text}    (line {mutation.line})", flush=True)
    tried, killed = len(chosen) - counts["equivalent"], counts["killed"] + counts["out of time"]
    interval = "" if len(chosen) == len(whole) else " [{:.1%}, {:.1%}]".format(*wilson(killed, tried))
    share = f"{killed / tried:.1%}{interval}" if tried else "none tried"
    print(f"{path.name}: {share} of {tried} (of {len(whole)}) killed; {counts}", flush=True)
    return killed, tried


def main() -> int:
    """Runs the command line; returns 1 where fewer than nine of ten mutants were killed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", type=Path, help="modules (default: every one that TESTS names)")
    parser.add_argument("--tests", nargs="+", help="test files (default: those that TESTS names)")
    parser.add_argument("--sample", type=int, help="most mutants of a file that are tried (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at a time")
    arguments = parser.parse_args()
    package = ROOT / "python" / "unirex"
    killed = tried = 0
    for file in arguments.files or [package / f"{name}.py" for name in TESTS]:
        path = file.resolve()
        module = str(path.relative_to(package).with_suffix("")) if path.is_relative_to(package) else ""
        tests = arguments.tests or [str(ROOT / "tests" / f"{name}.py") for name in TESTS.get(module, ())]
        tests = [test for test in tests if Path(test.partition("::")[0]).exists()]
        if not path.is_file() or not tests:
            print(
                f"error: {file}: {'no tests, expected --tests' if path.is_file() else 'no such file'}", file=sys.stderr
            )
            return 2
        own = [str(path)] if module else []
        one = measure(path, [*own, *tests], arguments.sample, arguments.seed, arguments.jobs)
        killed, tried = killed + one[0], tried + one[1]
    print(f"all: {killed} of {tried} killed, {killed / max(tried, 1):.1%}")
    return 0 if killed >= 0.9 * tried else 1


if __name__ == "__main__":
    sys.exit(main())
