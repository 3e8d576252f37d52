"""The rules of the house: which folder may import which, and the size and style of files.

Every rule is derived from the path of a file. The last tests show that each rule can fail.
"""

import ast
import importlib.metadata
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGES = ("annotation", "labels", "audit", "training")
SHARED = {"data", "config", "stats", "support"}
MAY_IMPORT = {
    "support": set(),
    "stats": set(),
    "config": {"support"},
    "cluster": {"config", "support"},
    "data": {"config", "stats", "support"},
    **dict.fromkeys(STAGES, SHARED),
    "annotation": {*SHARED, "cluster"},
    "training": {*SHARED, "cluster"},
    "search": {"labels", "config", "stats", "support"},
    "taxonomy": SHARED,
    "tracking": {"support"},
}
"""Room of ``project/`` -> other rooms of ``project/`` that its files may import."""
ANALYSIS_MAY_IMPORT = {"tracking", *SHARED}
ANALYSIS_ORDER = ("render", "store", "questions", "report")
"""Inside ``analysis/`` a file imports its own folder and those before it."""
ENGINES = {
    "mlflow": ("project/tracking/",),
    "ray": ("project/cluster/",),
    "vllm": ("project/annotation/engines/vllm",),
    "aiohttp": ("project/annotation/engines/openai/",),
    "openai": (),
    "optuna": ("project/search/", "analysis/render/study_figures.py"),
    "datasets": ("project/data/",),
    "peft": ("project/training/",),
    "cleanlab": ("project/labels/",),
    "krippendorff": ("project/stats/",),
    "torch": (
        "project/support/",
        "project/annotation/engines/rerank/",
        "project/annotation/engines/transformers/",
        "project/training/",
    ),
    "matplotlib": ("analysis/",),
    "jinja2": ("analysis/render/",),
}
"""Package -> the paths that may import it."""
STATS_MAY_IMPORT = {
    "__future__",
    "collections",
    "dataclasses",
    "functools",
    "itertools",
    "math",
    "typing",
    "numpy",
    "scipy",
    "sklearn",
    "krippendorff",
    "project",
}
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50


def imported_modules(source):
    """Every module that ``source`` imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def production_files():
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for folder in ("project", "analysis", "entrypoints")
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


def folder_of(path, depth):
    """The folder that decides: ``labels`` of ``project/labels/human.py``."""
    parts = path.split("/")
    return parts[depth].removesuffix(".py") if len(parts) > depth else ""


def broken_rules(path, source):
    """The rules that a file of this path and content breaks, in words."""
    modules = imported_modules(source)
    packages = {name.split(".")[0] for name in modules}
    rooms = {name.split(".")[1] for name in modules if name.startswith("project.")}
    top = path.split("/")[0]
    room = folder_of(path, 1)
    broken = []
    if top == "project" and room != "__init__":
        broken += [f"imports {other}" for other in rooms - {room} - MAY_IMPORT.get(room, set())]
    if top == "analysis":
        broken += [f"imports {other}" for other in rooms - ANALYSIS_MAY_IMPORT]
        broken += _analysis_order(room, modules)
    above = {"project": {"analysis", "entrypoints"}, "analysis": {"entrypoints"}}
    broken += [f"imports {package}" for package in packages & above.get(top, set())]
    broken += [f"imports {name}" for name in packages & {"tests", "benchmarks", "pickle"}]
    if room == "stats" and top == "project":
        broken += [f"imports {name}" for name in packages - STATS_MAY_IMPORT]
    for package, allowed in ENGINES.items():
        if package in packages and not path.startswith(allowed or ("-",)):
            broken.append(f"imports {package}")
    return broken


def _analysis_order(room, modules):
    if room not in ANALYSIS_ORDER:
        return []
    allowed = ANALYSIS_ORDER[: ANALYSIS_ORDER.index(room) + 1]
    others = {name.split(".")[1] for name in modules if name.startswith("analysis.")}
    return [f"imports analysis.{other}" for other in others - set(allowed)]


def test_every_file_imports_only_what_its_folder_may():
    broken = {path: broken_rules(path, text) for path, text in production_files().items()}

    assert {path: rules for path, rules in broken.items() if rules} == {}


def test_every_folder_of_the_project_has_a_rule():
    rooms = {path.name for path in (ROOT / "project").iterdir() if (path / "__init__.py").exists()}

    assert rooms == set(MAY_IMPORT)
    assert all(room in (ROOT / "project" / "__init__.py").read_text() for room in rooms)


@pytest.mark.parametrize(
    ("path", "line", "rule"),
    [
        ("analysis/questions/arms.py", "from project.labels.sources import label", "labels"),
        ("analysis/store/runs.py", "import project.training.loop", "training"),
        ("analysis/render/text.py", "from analysis.store import runs", "analysis.store"),
        ("analysis/report.py", "from entrypoints import main", "entrypoints"),
        ("project/search/study.py", "from project.tracking import read_run", "tracking"),
        ("project/labels/human.py", "from project.annotation import prompt", "annotation"),
        ("project/training/loop.py", "def f():\n    import project.labels.sources", "labels"),
        ("project/annotation/cost.py", "import project.training.encoder", "training"),
        ("project/stats/scores.py", "import torch", "torch"),
        ("project/stats/scores.py", "from project.data.tables import check", "data"),
        ("project/support/files.py", "from project.config.fields import AUTO", "config"),
        ("project/tracking/read.py", "from project.data.tables import check", "data"),
        ("project/data/task.py", "import mlflow.tracking", "mlflow"),
        ("project/config/fields.py", "from project.data.card import load_card", "data"),
        ("project/labels/human.py", "import analysis.report", "analysis"),
        ("project/training/on_cluster.py", "import ray", "ray"),
        ("project/cluster/tasks.py", "from project.training.seed import run_job", "training"),
        ("analysis/report.py", "from project.cluster import connect", "cluster"),
        ("entrypoints/main.py", "import optuna", "optuna"),
        ("entrypoints/main.py", "import pickle", "pickle"),
    ],
)
def test_a_forbidden_import_breaks_a_rule(path, line, rule):
    source = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).exists() else ""

    assert f"imports {rule}" in broken_rules(path, f"{source}\n{line}\n")


def test_no_circle_between_rooms():
    arrows: dict[str, set[str]] = {}
    for path, text in production_files().items():
        if path.startswith("project/") and path.count("/") > 1:
            rooms = {n.split(".")[1] for n in imported_modules(text) if n.startswith("project.")}
            arrows.setdefault(folder_of(path, 1), set()).update(rooms - {folder_of(path, 1)})
    while arrows:
        lowest = [room for room, others in arrows.items() if not others & arrows.keys()]

        assert lowest, f"a circle between {sorted(arrows)}"
        for room in lowest:
            del arrows[room]


def test_files_and_functions_are_short():
    long = []
    for path, text in production_files().items():
        if text.count("\n") > MAX_FILE_LINES:
            long.append(f"{path}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                n_lines = (node.end_lineno or 0) - node.lineno + 1 - _docstring_lines(node)
                if n_lines > MAX_FUNCTION_LINES:
                    long.append(f"{path}: {node.name} has {n_lines} lines")

    assert long == []


def _docstring_lines(node):
    first = node.body[0]
    has_one = ast.get_docstring(node) is not None
    return first.end_lineno - first.lineno + 1 if has_one else 0


def test_no_line_is_exempt_from_the_formatter():
    exempt = [
        path.relative_to(ROOT).as_posix()
        for folder in ("project", "analysis", "entrypoints", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"fmt: ?(skip|off)", path.read_text(encoding="utf-8"))
    ]

    assert exempt == []


def test_command_line_syntax_stands_in_one_module_of_the_code():
    """Stages name a parameter; how it is given on a command line is added in one place."""
    pattern = re.compile(r"-P \w+=|(?<![\w-])-e (?:ask|report|relog|reap|sweep|curve|grid|main)\b")
    found = []
    for path, text in production_files().items():
        if not path.startswith(("project/", "analysis/")):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            if pattern.search(node.value) and not _is_docstring(node, text):
                found.append(f"{path}:{node.lineno}")

    assert found == []


def _is_docstring(node, text):
    return text.splitlines()[node.lineno - 1].lstrip().startswith('"""')


def test_no_pinned_dependency_brings_a_package_of_one_of_our_names():
    provided = importlib.metadata.packages_distributions()

    assert not provided.keys() & {"project", "entrypoints", "analysis", "tests"}


def test_no_file_holds_a_path_of_one_machine():
    suffixes = {".py", ".md", ".yaml", ".yml", ".txt", ".toml", ".j2", ""}
    folders = ("project", "entrypoints", "analysis", "docs")
    paths = [*ROOT.glob("*"), *(path for name in folders for path in (ROOT / name).rglob("*"))]
    for path in paths:
        if path.is_file() and path.suffix in suffixes and path.name != "LICENSE":
            assert "/root/" not in path.read_text(encoding="utf-8", errors="ignore"), path
