"""The source calls nothing that would execute what it reads."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


UNSAFE = {
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.unsafe_load",
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "torch.load",
    "torch.save",
    "pd.read_pickle",
    "pandas.read_pickle",
    "extractall",
    "unpack_archive",
    "mktemp",
}


def calls(source):
    """Unsafe calls, imports and arguments in a source text."""
    unsafe = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            short = name.rpartition(".")[2]
            # a method may be called eval, as of a model
            unsafe |= {
                word
                for word in UNSAFE
                if word == name or (word == short and word not in ("eval", "exec"))
            }
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if short == "load" and name.startswith("np.") and given.get("allow_pickle") != "False":
                unsafe.add("np.load")
            if short == "save" and name.startswith("np.") and given.get("allow_pickle") != "False":
                unsafe.add("np.save")
            unsafe |= {
                f"{word}={value}"
                for word, value in given.items()
                if (word, value) in (("shell", "True"), ("use_safetensors", "False"))
            }
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
            unsafe |= {module for module in names if module.split(".")[0] in UNSAFE}
        elif isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "to_pickle"):
            unsafe.add(node.attr)
    return unsafe


def test_the_source_makes_no_unsafe_call():
    for folder in ("project", "entrypoints", "analysis", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert calls(path.read_text(encoding="utf-8")) == set(), path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import yaml\nyaml.load(x, Loader=yaml.Loader)", {"yaml.load"}),
        ("def f():\n    import pickle", {"pickle"}),
        ("from joblib import load", {"joblib"}),
        ("torch.load(path)", {"torch.load"}),
        ("np.load(path, allow_pickle=True)", {"np.load"}),
        ("eval(x); model.eval()", {"eval"}),
        ("subprocess.run(x, shell=True)", {"shell=True"}),
        ("zipfile.ZipFile(x).extractall()", {"extractall"}),
        ("pd.read_pickle(x)", {"pd.read_pickle", "read_pickle"}),
        ("yaml.safe_load(x); np.load(x, allow_pickle=False)", set()),
    ],
)
def test_the_search_for_unsafe_calls_finds_them(source, expected):
    assert calls(source) == expected
