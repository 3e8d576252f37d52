"""The commands of the tutorials, read from their text and run on the samples with small models."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from project.data.card import CARDS
from tests.helpers import forked
from tests.helpers.faulty_server import LISTED

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN_LINE = re.compile(r"^run +([0-9a-f]{32})$", re.MULTILINE)


def commands(name):
    """Every command in the ``sh`` blocks of a page of the documentation, as words."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    lines = "\n".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip()]


class Walk:
    """Runs the commands of one tutorial, in their order, in the folder of a store."""

    def __init__(self, store, small):
        self.folder = store
        self.small = small
        self.printed = ""
        self.run_ids: list[str] = []
        shutil.copytree(ROOT / "docs" / "samples", store / "docs" / "samples")

    def run(self, words, **replaced):
        """Run one command, some of whose words are replaced; returns what it printed."""
        words = [self._filled(word, replaced) for word in words]
        if words[0] == "cp":
            shutil.copy(self.folder / words[1], self.folder / words[2])
            return ""
        if words[:2] == ["python", "-m"]:
            line = words[1:]
        else:
            assert words[:5] == ["mlflow", "run", ".", "--env-manager", "local"], words
            line = self._entry(words[5:])
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = forked.run([sys.executable, *line], cwd=self.folder, env=environment)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        self.printed = done.stdout + done.stderr
        self.run_ids += RUN_LINE.findall(done.stdout)
        return self.printed

    def _filled(self, word, replaced):
        known = dict(zip(("RUN_B", "RUN_A"), self.run_ids[::-1], strict=False)) | replaced
        for name, value in known.items():
            word = word.replace(name, value)
        return word

    def _entry(self, words):
        """The words after ``python`` that run an entry point with small models."""
        name = "main"
        if words[:1] == ["-e"]:
            name, words = words[1], words[2:]
        assert words[::2] == ["-P"] * (len(words) // 2), words
        given = dict(word.split("=", 1) for word in words[1::2])
        given |= self.small(name, given)
        return ["-m", f"entrypoints.{name}", *(f"--{key}={value}" for key, value in given.items())]


@pytest.fixture
def walk(store, params):
    def small(name, given):
        """The tests' small sizes and models, where the command runs models itself."""
        if name not in ("main", "curve", "budget"):
            return {}
        chosen = params(name, seeds="2", epochs="1", min_steps="0", learning_rate="0.003")
        names = [
            *("annotator_model", "annotator_dtype", "min_label_mass", "ensemble_size", "encoder"),
            *("seeds", "epochs", "min_steps", "learning_rate", "workers", "max_validation"),
        ]
        sizes = {"sizes": "8,20,40"} if "sizes" in given else {}
        return {
            **{key: chosen[key] for key in names if key in chosen},
            "max_train": "40",
            "max_test": "24",
            **sizes,
        }

    return Walk(store, small)


def labels_of(texts):
    """The classes of listings of the embedded task."""
    known = pd.read_csv(CARDS / "catalogue.csv").set_index("text")["label"]
    return [known[text] for text in texts]


def test_the_tutorial_from_a_spreadsheet_runs_as_it_stands(walk):
    outcomes = [walk.run(words) for words in commands("tutorial-excel.md")]

    audits = [text for text in outcomes if "NOT SAFE." in text]
    assert len(audits) == 1
    assert re.search(r"about 1[678]\.\d points worse", " ".join(audits[0].split()))
    assert any("SAFE. " in text and "NOT SAFE" not in text for text in outcomes)


def test_the_tutorial_from_an_api_runs_as_it_stands(walk, serve, monkeypatch):
    server, _ = serve(can={LISTED}, completions=False)
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    at_server = {"http://127.0.0.1:8000/v1": server.url, "MODEL": "model"}
    *begin, estimate, ask, audit = commands("tutorial-api.md")

    for words in begin:
        walk.run(words)
    assert "200" in walk.run(estimate, **at_server)
    assert not server.posts
    walk.run(ask)
    (questions,) = (walk.folder / "questions").rglob("questions.csv")
    (sampling,) = (walk.folder / "questions").rglob("sampling.parquet")
    answers = pd.read_csv(questions)
    answers["label"] = labels_of(answers["text"])
    answers.to_csv(walk.folder / "answers.csv", index=False)
    printed = walk.run(audit, ANSWERS="answers.csv", SAMPLING=str(sampling), **at_server)

    assert len(answers) == 100
    assert re.search(r"\b(SAFE|CANNOT TELL)\. ", printed)
    assert server.posts


def test_the_tutorial_from_the_paper_runs_as_it_stands(walk):
    for words in commands("tutorial-paper.md"):
        walk.run(words)

    page = next((walk.folder / "outputs" / "reports").glob("side-by-side-*/report.html"))
    assert "2 experiments side by side" in page.read_text(encoding="utf-8")
