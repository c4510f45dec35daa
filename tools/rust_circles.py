"""Refuses circles between the files of a Rust crate: `python tools/rust_circles.py [rust]`.

A file leads to another if it names it by `crate::`, `super::` or as its own submodule; what is under `#[cfg(test)]`
does not count.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

Module = tuple[str, ...]

_COMMENT = re.compile(r"//[^\n]*")
_TEST = re.compile(r"#\[cfg\(test\)\]\s*([^;{]*)([;{])")
_DECLARED = re.compile(r"\bmod (\w+);")


def circle(folder: Path) -> list[Path] | None:
    """The files of a circle, the first of them again at the end; None where there is none."""
    modules = {_module(path.relative_to(folder)): path for path in sorted(folder.rglob("*.rs"))}
    texts = {module: _without_tests(path.read_text(encoding="utf-8")) for module, path in modules.items()}
    used = {module: sorted(_used(module, text, modules) & modules.keys()) for module, text in texts.items()}
    done: set[Module] = set()
    for start in used:
        if found := _search(start, used, [], done):
            return [modules[module] for module in found]
    return None


def _module(path: Path) -> Module:
    """The names that lead to a file from the root of the crate."""
    parts = path.with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib") else parts


def _without_tests(text: str) -> str:
    text = _COMMENT.sub("", text)
    while found := _TEST.search(text):
        end = found.end()
        depth = 1 if found[2] == "{" else 0
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        text = text[: found.start()] + text[end:]
    return text


def _used(module: Module, text: str, modules: dict[Module, Path]) -> set[Module]:
    """The modules that a file names, itself left out."""
    starts: dict[str, Module] = {"crate": (), "super": module[:-1]}
    starts |= {name: (*module, name) for name in _DECLARED.findall(text)}
    found = set()
    for word in re.finditer(r"(?<![\w:])(%s)(?=::)" % "|".join(starts), text):  # noqa: UP031 (braces are many here)
        for names in _paths(text, word.end()):
            target = starts[word[1]]
            for name in names:
                if name == "super":
                    target = target[:-1]
                elif (*target, name) in modules:
                    target = (*target, name)
                else:
                    break
            found.add(target)
    return found - {module}


def _paths(text: str, at: int) -> Iterator[Module]:
    """The names that may follow a place: one path, or those of a group in braces."""
    if not text.startswith("::", at):
        yield ()
    elif text.startswith("{", at + 2):
        for part in _group(text, at + 3):
            yield from _paths("::" + part.strip(), 0)
    elif name := re.compile(r"\w+").match(text, at + 2):
        for rest in _paths(text, name.end()):
            yield (name[0], *rest)
    else:
        yield ()


def _group(text: str, at: int) -> list[str]:
    """The parts of a group, which starts behind its brace."""
    parts, depth = [""], 1
    for letter in text[at:]:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            break
        if letter == "," and depth == 1:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _search(module: Module, used: dict[Module, list[Module]], way: list[Module], done: set[Module]) -> list[Module]:
    """A circle that a module leads into, empty where there is none."""
    if module in way:
        return [*way[way.index(module) :], module]
    if module in done:
        return []
    for other in used[module]:
        if found := _search(other, used, [*way, module], done):
            return found
    done.add(module)
    return []


def main() -> int:
    """0 without a circle; else 1 and the circle."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "rust")
    found = circle(folder)
    if found:
        print("a circle: " + " -> ".join(path.relative_to(folder).as_posix() for path in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
