"""House rules that a machine can check, over every file that git knows."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = {".h", ".cc", ".py", ".rs", ".sh", ".cmake", ".comp", ".glsl", ".js", ".css", ".html"}
MOST_LINES = 400
GENERATED = {"Cargo.lock"}  # written by cargo, which names its registry there

# Spelled with [.] so that this file keeps the rule.
REGISTRIES = re.compile(
    r"(deb|security|snapshot|ftp)[.]debian[.]org|ubuntu[.]com/ubuntu|pypi[.]org|pythonhosted[.]org|crates[.]io"
    r"|registry[.]npmjs|huggingface[.]co/\S+/resolve|repo[.]maven|proxy[.]golang"
)
MACHINE_PATHS = re.compile(r"(?<![\w.])/(work|root|home/\w+|Users/\w+)/")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
BLOCK_QUALIFIERS = re.compile(r"\b(coherent|nonprivate|volatile)\b[^;{]*\bbuffer\b")


def tracked_files(root: Path) -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [root / name for name in names.split("\0") if name and (root / name).is_file()]


def is_code(path: Path) -> bool:
    named = path.name in ("CMakeLists.txt", "Makefile") or (path.suffix == "" and "tools" in path.parts)
    return named or path.suffix in CODE


def text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None  # a binary fixture


def long_files(files: list[Path]) -> list[str]:
    lengths = [(path, len((text_of(path) or "").splitlines())) for path in files if is_code(path)]
    return [f"{path}: {lines} lines, {MOST_LINES} at most" for path, lines in lengths if lines > MOST_LINES]


def matches(files: list[Path], pattern: re.Pattern) -> list[str]:
    found = []
    for path in files:
        if path.name in GENERATED or (text := text_of(path)) is None:
            continue
        lines = enumerate(text.splitlines(), 1)
        found += [f"{path}:{number}: {line.strip()[:100]}" for number, line in lines if pattern.search(line)]
    return found


def test_no_file_is_long():
    files = tracked_files(ROOT)
    assert sum(map(is_code, files)) > 10
    assert long_files(files) == []


def test_no_package_registry_is_named():
    assert matches(tracked_files(ROOT), REGISTRIES) == []


def test_no_path_of_one_machine():
    files = [path for path in tracked_files(ROOT) if path != Path(__file__)]
    assert matches(files, MACHINE_PATHS) == []


def test_nothing_is_left_unfinished():
    files = [path for path in tracked_files(ROOT) if is_code(path) and path != Path(__file__)]
    assert matches(files, UNFINISHED) == []


def test_memory_qualifiers_stand_on_members():
    """glslang drops those of a whole block behind a buffer reference."""
    files = [path for path in tracked_files(ROOT) if "shaders" in path.parts]
    assert matches(files, BLOCK_QUALIFIERS) == []


def test_headers_are_included_once():
    headers = [path for path in tracked_files(ROOT) if path.suffix == ".h"]
    assert [str(path) for path in headers if "#pragma once" not in path.read_text(encoding="utf-8")] == []


def test_the_checks_find_what_they_look_for(tmp_path):
    bad = tmp_path / "bad.cc"
    comments = "// TODO\ncoherent readonly buffer Block {\n// http://deb.debian" + ".org /home/" + "me/x\n"
    bad.write_text("int a;\n" * (MOST_LINES + 1) + comments, encoding="utf-8")
    assert len(long_files([bad])) == 1
    assert all(len(matches([bad], pattern)) == 1 for pattern in (REGISTRIES, MACHINE_PATHS, UNFINISHED, BLOCK_QUALIFIERS))
