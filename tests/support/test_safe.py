"""Nothing that is read is run: what the source may not call."""

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
    """Unsafe calls and imports in a source text, and arguments that make others so."""
    made = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            short = name.rpartition(".")[2]
            made |= {
                one
                for one in UNSAFE
                if one in (name, short if "." not in one and one not in ("eval", "exec") else name)
            }
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if short == "load" and name.startswith("np.") and given.get("allow_pickle") != "False":
                made.add("np.load")
            if short == "save" and name.startswith("np.") and given.get("allow_pickle") != "False":
                made.add("np.save")
            made |= {
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
            made |= {one for one in names if one.split(".")[0] in UNSAFE}
        elif isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "to_pickle"):
            made.add(node.attr)
    return made


def test_nothing_runs_what_it_reads():
    for folder in ("project", "entrypoints", "analysis", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert calls(path.read_text(encoding="utf-8")) == set(), path


@pytest.mark.parametrize(
    ("source", "found"),
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
def test_the_search_for_unsafe_calls_finds_them(source, found):
    assert calls(source) == found
