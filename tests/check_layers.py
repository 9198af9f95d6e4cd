"""ARCHITECTURE.md's table of folders, the includes in src and the USES in CMake say the same."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^\|\s*src/(\w+)\s*\|[^|]*\|\s*([^|]*?)\s*\|\s*$")
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
USES = re.compile(r"hearth_library\((\w+)[^)]*?\bUSES\s+([\w\s]*?)\s*(?:LINKS\b[^)]*)?\)")


def allowed_includes(architecture: str) -> dict[str, set[str]]:
    """folder -> the folders that the table lets it include, itself among them."""
    rows = [match.groups() for line in architecture.splitlines() if (match := ROW.match(line))]
    folders = {folder for folder, _ in rows}
    named = {"nothing": set(), "all": folders}
    return {folder: {folder} | named.get(may, set(re.findall(r"\w+", may))) for folder, may in rows}


def source_files(source: Path) -> list[Path]:
    return sorted(path for path in source.rglob("*") if path.suffix in (".h", ".cc"))


def include_violations(root: Path) -> list[str]:
    allowed = allowed_includes((root / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    found = []
    for path in source_files(root / "src"):
        folder = path.relative_to(root / "src").parts[0]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if match := INCLUDE.match(line):
                where = f"{path.relative_to(root)}:{number}: includes {match[1]}"
                if not (root / "src" / match[1]).exists():
                    found.append(f"{where}, which is not a path below src")
                elif match[1].split("/")[0] not in allowed.get(folder, {folder}):
                    found.append(f"{where}, which ARCHITECTURE.md does not allow src/{folder}")
    return found


def folder_violations(root: Path) -> list[str]:
    allowed = allowed_includes((root / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    there = {path.name for path in (root / "src").iterdir() if path.is_dir()}
    found = [f"src/{name} is not in ARCHITECTURE.md's table" for name in sorted(there - allowed.keys())]
    found += [f"ARCHITECTURE.md names src/{name}, which is not there" for name in sorted(allowed.keys() - there)]
    for name in sorted(there & allowed.keys()):
        for library, uses in USES.findall((root / "src" / name / "CMakeLists.txt").read_text(encoding="utf-8")):
            more = sorted(set(uses.split()) - allowed[library])
            where = f"src/{name}/CMakeLists.txt USES"
            found += [f"{where} {other}, which ARCHITECTURE.md does not allow" for other in more]
    return found


def upward_rows(architecture: str) -> list[str]:
    """Rows that may include a folder of a later row: the table itself must point downward only."""
    allowed = allowed_includes(architecture)
    order = list(allowed)
    return [
        f"src/{folder} may include src/{other}, which stands below it in the table"
        for folder in order
        for other in sorted(allowed[folder])
        if other not in order or order.index(other) > order.index(folder)
    ]


def test_includes_agree_with_the_table():
    assert source_files(ROOT / "src")
    assert include_violations(ROOT) == []


def test_folders_and_cmake_agree_with_the_table():
    assert folder_violations(ROOT) == []


def test_the_table_points_downward():
    assert upward_rows((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")) == []


def make_tree(root: Path, table: str, files: dict[str, str]) -> Path:
    (root / "ARCHITECTURE.md").write_text(table, encoding="utf-8")
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


TABLE = "| src/low | bytes | nothing |\n| src/high | meaning | low |\n"
TREE = {
    "src/low/CMakeLists.txt": "hearth_library(low LINKS fmt::fmt)\n",
    "src/high/CMakeLists.txt": "hearth_library(high USES low LINKS fmt::fmt)\n",
    "src/low/low.h": "#include <vector>\n",
    "src/high/high.cc": '#include "low/low.h"\n',
}


def test_a_tree_that_agrees_passes(tmp_path):
    root = make_tree(tmp_path, TABLE, TREE)
    assert include_violations(root) == folder_violations(root) == upward_rows(TABLE) == []


def test_an_upward_include_is_found(tmp_path):
    root = make_tree(tmp_path, TABLE, TREE | {"src/high/high.h": "", "src/low/low.cc": '\n#include "high/high.h"\n'})
    assert include_violations(root) == [
        "src/low/low.cc:2: includes high/high.h, which ARCHITECTURE.md does not allow src/low"
    ]


def test_a_relative_include_is_found(tmp_path):
    root = make_tree(tmp_path, TABLE, TREE | {"src/low/low.cc": '#include "low.h"\n'})
    assert include_violations(root) == ["src/low/low.cc:1: includes low.h, which is not a path below src"]


def test_an_unlisted_folder_and_an_upward_link_are_found(tmp_path):
    changed = {"src/low/CMakeLists.txt": "hearth_library(low USES high)", "src/odd/a.h": ""}
    root = make_tree(tmp_path, TABLE, TREE | changed)
    assert folder_violations(root) == [
        "src/odd is not in ARCHITECTURE.md's table",
        "src/low/CMakeLists.txt USES high, which ARCHITECTURE.md does not allow",
    ]


def test_a_table_that_points_upward_is_found():
    assert upward_rows("| src/low | bytes | high |\n| src/high | meaning | low |\n") == [
        "src/low may include src/high, which stands below it in the table"
    ]
