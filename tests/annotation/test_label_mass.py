"""A model whose labels hold hardly any probability is refused before everything is paid for."""

import numpy as np
import pandas as pd
import pytest

from project.annotation.annotate import annotate
from project.annotation.cost import Meter
from project.annotation.engines.base import Answers
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig, SpendConfig
from project.data.answer_notes import low_mass_note
from project.support.errors import AssayError
from tests.helpers.annotators import ScriptedAnnotator


class Reasoner(ScriptedAnnotator):
    """Its labels have the probability ``mass``; None: the engine cannot tell."""

    shard_size = 40

    def __init__(self, mass):
        super().__init__(4)
        self._mass = mass

    def read(self, prompt, texts, arrived=None):
        self.texts_read += texts
        n = len(texts)
        classes = np.full((n, 4), np.log((self._mass or 1.0) / 4))
        answers = Answers.exact(classes, np.zeros(n, bool), np.full(n, 9))
        if self._mass is None:
            answers.label_mass[:] = np.nan
        return answers


@pytest.fixture
def many(small_task):
    """200 texts."""
    first = small_task.split("train").iloc[[0]]
    table = pd.concat([first] * 200, ignore_index=True)
    names = [f"text {row}" for row in range(200)]
    return table.assign(example_id=names, text=names)


@pytest.fixture
def read(small_task, many, tmp_path):
    """A function: annotates the texts, or the first ``n``, in one draw."""

    def annotated(annotator, n=200, minimum=0.01):
        return list(
            annotate(
                [annotator],
                [Prompt(0, "", "", small_task.label_set)],
                many.head(n),
                small_task.label_set,
                config=AnnotateConfig(calibration="none", min_label_mass=minimum),
                folder=tmp_path / "answers",
                progress=lambda n: None,
                meter=Meter(SpendConfig()),
            )
        )

    return annotated


def test_a_model_that_does_not_answer_with_labels_is_refused_after_the_first_shard(read):
    model = Reasoner(4e-7)

    with pytest.raises(AssayError, match=r"mean probability of 4e-07 \(label mass, 40 texts"):
        read(model)
    assert len(model.texts_read) == 40
    # Its answers are on disk: the same command pays for nothing more, and 0 takes them.
    with pytest.raises(AssayError, match=r"reasons before it answers.*Set min_label_mass=0"):
        read(model)
    assert len(model.texts_read) == 40
    (draw,) = read(model, minimum=0.0)
    assert len(model.texts_read) == 200
    assert draw.table["label"].notna().all()


def test_few_texts_are_refused_when_all_are_answered(read):
    model = Reasoner(4e-7)

    with pytest.raises(AssayError, match="label mass, 5 texts of draw 0"):
        read(model, n=5)
    assert len(model.texts_read) == 5


@pytest.mark.parametrize("mass", [0.011, 1.0, None])
def test_a_label_mass_that_is_enough_or_not_known_is_no_reason_to_refuse(read, mass):
    (draw,) = read(Reasoner(mass))

    assert draw.n_asked == 200


def test_a_low_mean_label_mass_is_noted():
    assert "mean probability of 0.3 only" in low_mass_note("m", pd.Series([0.1, 0.5, np.nan]))
    assert low_mass_note("m", pd.Series([0.4, 0.6])) == ""
    assert low_mass_note("m", pd.Series([np.nan, np.nan])) == ""
