"""ARCHITECTURE.md's tables of folders and rooms, the includes in src and the USES in CMake say the same."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^\|\s*src/(\w+)\s*\|[^|]*\|\s*([^|]*?)\s*\|\s*$")
ROOM = re.compile(r"^\|\s*src/(\w+(?:/\w+)+)\s*\|")
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


def includes_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and path of each include of a file of hearth."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match[1]


def include_violations(root: Path) -> list[str]:
    allowed = allowed_includes((root / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    found = []
    for path in source_files(root / "src"):
        folder = path.relative_to(root / "src").parts[0]
        for number, included in includes_of(path):
            where = f"{path.relative_to(root)}:{number}: includes {included}"
            if not (root / "src" / included).exists():
                found.append(f"{where}, which is not a path below src")
            elif included.split("/")[0] not in allowed.get(folder, {folder}):
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


def rooms_in_order(root: Path) -> list[str]:
    """Rooms such as device/vulkan/gpu, the lowest first; a row device/vulkan is for files that lie in no room of it."""
    lines = (root / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()
    return [match[1] for line in lines if (match := ROOM.match(line))]


def room_of(path: str, rooms: list[str]) -> str | None:
    return max((room for room in rooms if path.startswith(f"{room}/")), key=len, default=None)


def room_include_violations(root: Path) -> list[str]:
    """Includes of what stands later in the table. Tests may look anywhere."""
    rooms = rooms_in_order(root)
    found = []
    for path in source_files(root / "src"):
        room = room_of(path.relative_to(root / "src").as_posix(), rooms)
        if room is None or path.name.endswith("_test.cc"):
            continue
        for number, included in includes_of(path):
            other = room_of(included, rooms)
            if other is not None and rooms.index(other) > rooms.index(room):
                where = f"{path.relative_to(root)}:{number}: includes {included}"
                found.append(f"{where}, which stands behind src/{room} in the table")
    return found


def room_folder_violations(root: Path) -> list[str]:
    rooms = rooms_in_order(root)
    houses = [room for room in rooms if any(other.startswith(f"{room}/") for other in rooms)]
    there = {f"{house}/{path.name}" for house in houses for path in (root / "src" / house).iterdir() if path.is_dir()}
    found = [f"src/{room} is not in ARCHITECTURE.md's table" for room in sorted(there - set(rooms))]
    gone = [room for room in rooms if not (root / "src" / room).is_dir()]
    return found + [f"ARCHITECTURE.md names src/{room}, which is not there" for room in gone]


def test_includes_agree_with_the_table():
    assert source_files(ROOT / "src")
    assert include_violations(ROOT) == []


def test_folders_and_cmake_agree_with_the_table():
    assert folder_violations(ROOT) == []


def test_the_table_points_downward():
    assert upward_rows((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")) == []


def test_rooms_agree_with_the_table():
    assert rooms_in_order(ROOT)
    assert room_include_violations(ROOT) == room_folder_violations(ROOT) == []


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


ROOMS = "| src/high/house/below | bytes |\n| src/high/house/above | meaning |\n| src/high/house | all |\n"
ROOM_TREE = TREE | {
    "src/high/house/below/a.h": "#include <vector>\n",
    "src/high/house/above/b.cc": '#include "high/house/below/a.h"\n#include "low/low.h"\n',
    "src/high/house/all.h": '#include "high/house/below/a.h"\n',
    "src/high/house/below/a_test.cc": '#include "high/house/all.h"\n',
}


def test_rooms_that_agree_pass(tmp_path):
    root = make_tree(tmp_path, TABLE + ROOMS, ROOM_TREE)
    assert room_include_violations(root) == room_folder_violations(root) == []


def test_a_room_that_looks_up_is_found(tmp_path):
    upward = '#include "high/house/all.h"\n'
    changed = {"src/high/house/below/a.h": upward, "src/high/house/above/b.h": upward}
    root = make_tree(tmp_path, TABLE + ROOMS, ROOM_TREE | changed)
    assert room_include_violations(root) == [
        "src/high/house/above/b.h:1: includes high/house/all.h, which stands behind src/high/house/above in the table",
        "src/high/house/below/a.h:1: includes high/house/all.h, which stands behind src/high/house/below in the table",
    ]


def test_unlisted_and_missing_rooms_are_found(tmp_path):
    table = TABLE + ROOMS + "| src/high/house/gone | |\n"
    root = make_tree(tmp_path, table, ROOM_TREE | {"src/high/house/odd/c.h": ""})
    assert room_folder_violations(root) == [
        "src/high/house/odd is not in ARCHITECTURE.md's table",
        "ARCHITECTURE.md names src/high/house/gone, which is not there",
    ]
