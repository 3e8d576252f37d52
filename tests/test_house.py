"""The walls between the rooms, and that the walls' test can fail."""

import ast
import importlib.metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECTIONS = {
    "task",
    "split",
    "card",
    "prompt",
    "annotate",
    "answers",
    "annotators",
    "plan",
    "spend",
    "label",
    "encoder",
    "tokens",
    "targets",
    "places",
    "packing",
    "checkpoint",
    "finetune",
    "seeds",
    "evaluate",
}
ORDER = [
    ("card", "split", "task"),
    ("prompt",),
    ("annotators", "answers", "spend", "annotate", "plan"),
    ("arm", "suspicion", "audit", "choice", "human", "label"),
    (
        "encoder",
        "embeddings",
        "tokens",
        "targets",
        "places",
        "packing",
        "checkpoint",
        "finetune",
        "seeds",
    ),
    ("evaluate",),
]
TORCH = {
    "encoder",
    "embeddings",
    "targets",
    "places",
    "packing",
    "checkpoint",
    "finetune",
    "seeds",
    "models",
    "host",
    "annotators/transformers",
    "annotators/packed",
    "annotators/plain",
    "annotators/exact",
}
ONE_PLACE = {
    "mlflow": {
        f"project/tracking/{path.name}" for path in (ROOT / "project" / "tracking").glob("*.py")
    }
    - {"project/tracking/spool.py"},
    "vllm": {"project/annotators/vllm.py"},
    "aiohttp": {"project/annotators/openai/http.py"},
    "optuna": {"project/sweep.py", "project/sweep_storage.py", "project/sweep_figures.py"},
    "datasets": {"project/task.py"},
    "torch": {f"project/{name}.py" for name in TORCH},
    "peft": {"project/encoder.py"},
    "krippendorff": {"project/stats/agreement.py"},
}


def imports(source):
    """Every module that ``source`` imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def files(folder):
    return {
        path.relative_to(ROOT).as_posix(): imports(path.read_text(encoding="utf-8"))
        for path in (ROOT / folder).rglob("*.py")
    }


def packages(names):
    return {name.split(".")[0] for name in names}


def rooms(names):
    return {name.split(".")[1] for name in names if name.startswith("project.")}


def test_statistics_know_numpy_and_the_krippendorff_package_only():
    for path, names in files("project/stats").items():
        assert packages(names) <= {
            "__future__",
            "collections",
            "functools",
            "typing",
            "numpy",
            "krippendorff",
            "project",
        }, path
        assert rooms(names) <= {"stats"}, path


def test_each_engine_and_mlflow_are_imported_in_one_place():
    everywhere = {**files("project"), **files("entrypoints"), **files("analysis")}
    for package, allowed in ONE_PLACE.items():
        assert {
            path for path, names in everywhere.items() if package in packages(names)
        } <= allowed, package


def test_analysis_reads_the_store_and_never_imports_a_stage():
    for path, names in files("analysis").items():
        assert not rooms(names) & SECTIONS, path
        assert "entrypoints" not in packages(names), path


def test_project_knows_nothing_of_entrypoints_and_analysis():
    for path, names in files("project").items():
        assert not packages(names) & {"entrypoints", "analysis", "tests"}, path


def test_a_stage_never_imports_a_later_one_and_none_imports_tracking():
    for path, names in files("project").items():
        room = path.split("/")[1].removesuffix(".py")
        later = {
            name
            for index, group in enumerate(ORDER)
            if any(room in one for one in ORDER[:index])
            for name in group
        }
        assert not rooms(names) & later, path
        assert room not in SECTIONS or "tracking" not in rooms(names), path


def test_the_walls_test_sees_an_import_inside_a_function():
    assert imports("def f():\n    import mlflow.tracking\n    from project import label\n") == {
        "mlflow.tracking",
        "project",
        "project.labels.sources",
    }


def test_no_pinned_dependency_brings_a_package_of_one_of_our_names():
    provided = importlib.metadata.packages_distributions()

    assert not provided.keys() & {"project", "entrypoints", "analysis", "tests"}


def test_no_file_holds_a_path_of_one_machine_or_a_pickle():
    for path in [
        *ROOT.glob("*"),
        *(ROOT / "project").rglob("*.py"),
        *(ROOT / "entrypoints").rglob("*.py"),
        *(ROOT / "analysis").rglob("*.py"),
    ]:
        if (
            path.is_file()
            and path.suffix in {".py", ".md", ".yaml", ".txt", ".toml", ""}
            and path.name not in {"LICENSE"}
        ):
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert "/root/" not in text, path
            assert "import pickle" not in text, path
