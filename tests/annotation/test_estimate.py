"""What annotation will take, before it is paid for."""

import numpy as np
import pytest

from project.annotation.annotate import annotate
from project.annotation.answers import raw_answers
from project.annotation.cache import AnswerCache
from project.annotation.cost import Meter, price
from project.annotation.demonstrations import demonstration_sets
from project.annotation.engines.base import Size
from project.annotation.estimate import plan
from project.annotation.prompt import build_prompt
from project.config.annotation import AnnotateConfig, SpendConfig
from project.data.tables import SourceRun


def prompts_for(task, n):
    shown = demonstration_sets(task.split("demonstration"), 3, n, seed=0)
    return [
        build_prompt(task.label_set, task.description, rows, style="name", draw=draw)
        for draw, rows in enumerate(shown)
    ]


def test_a_plan_counts_texts_tokens_requests_and_price_of_every_draw(
    small_task, tmp_path, scripted
):
    annotator, spend = scripted(4), SpendConfig(price_input=2, price_output=10)

    one, two = plan(
        [annotator],
        prompts_for(small_task, 2),
        small_task.split("train"),
        small_task.label_set,
        config=AnnotateConfig(),
        spend=spend,
        folder=tmp_path,
    )

    n = len(small_task.split("train"))
    # the scripted annotator says 100 tokens a prompt, 60 of them shared
    assert (one.texts, one.requests, one.tokens, one.tokens_reused) == (n, n, 100 * n, 60 + 40 * n)
    assert one.cost == pytest.approx((100 * n * 2 + n * 10) / 1e6)
    assert two.cost == one.cost
    assert two.probed == 0


def test_a_plan_that_does_not_measure_reads_nothing_and_knows_no_time(
    small_task, tmp_path, scripted
):
    annotator = scripted(4)

    (planned,) = plan(
        [annotator],
        prompts_for(small_task, 1),
        small_task.split("train"),
        small_task.label_set,
        config=AnnotateConfig(),
        spend=SpendConfig(price_input=2),
        folder=tmp_path,
        measures=False,
    )

    assert (planned.seconds, planned.probed, annotator.texts_read) == (None, 0, [])
    assert planned.cost == pytest.approx(100 * planned.texts * 2 / 1e6)


def test_the_answers_of_the_probe_are_kept_and_not_paid_for_again(small_task, tmp_path, scripted):
    annotator, prompts, train = scripted(4), prompts_for(small_task, 1), small_task.split("train")
    (planned,) = plan(
        [annotator],
        prompts,
        train,
        small_task.label_set,
        config=AnnotateConfig(),
        spend=SpendConfig(),
        folder=tmp_path,
    )
    assert 0 < planned.probed == len(annotator.texts_read)
    (folder,) = tmp_path.iterdir()
    kept = AnswerCache(folder).load()
    assert kept is not None
    assert len(kept) == planned.probed

    rest = scripted(4)
    settings = {
        "config": AnnotateConfig(calibration="none"),
        "folder": tmp_path,
        "progress": lambda n: None,
        "meter": Meter(SpendConfig()),
    }
    list(annotate([rest], prompts, train, small_task.label_set, **settings))

    assert sorted(annotator.texts_read + rest.texts_read) == sorted(train["text"])


def test_a_plan_asks_for_nothing_when_all_answers_are_known(small_task, tmp_path, scripted):
    prompts, train = prompts_for(small_task, 1), small_task.split("train")
    settings = {
        "config": AnnotateConfig(calibration="none"),
        "folder": tmp_path,
        "progress": lambda n: None,
        "meter": Meter(SpendConfig()),
    }
    list(annotate([scripted(4)], prompts, train, small_task.label_set, **settings))

    (planned,) = plan(
        [scripted(4, limit=0)],
        prompts,
        train,
        small_task.label_set,
        config=AnnotateConfig(),
        spend=SpendConfig(price_hour=5),
        folder=tmp_path,
    )

    assert (planned.texts, planned.known, planned.tokens, planned.cost) == (0, len(train), 0, 0)


def test_a_plan_counts_answers_in_the_store_as_known(small_task, tmp_path, scripted):
    prompts, train = prompts_for(small_task, 1), small_task.split("train")
    (done,) = annotate(
        [scripted(4)],
        prompts,
        train,
        small_task.label_set,
        config=AnnotateConfig(calibration="none"),
        folder=tmp_path / "theirs",
        progress=lambda n: None,
        meter=Meter(SpendConfig()),
    )

    (planned,) = plan(
        [scripted(4, limit=0)],
        prompts,
        train,
        small_task.label_set,
        config=AnnotateConfig(),
        spend=SpendConfig(price_input=1),
        folder=tmp_path / "mine",
        fetch=lambda question: [
            (SourceRun("run", "ann"), raw_answers(done.table, small_task.label_set))
        ],
    )

    assert (planned.texts, planned.known, planned.cost) == (0, len(train), 0)


def test_a_plan_counts_all_requests_of_a_text(small_task, tmp_path, scripted, monkeypatch):
    annotator, n = scripted(4), len(small_task.split("train"))
    monkeypatch.setattr(
        annotator,
        "size",
        lambda prompt, texts: Size(60, np.full(len(texts), 100), 3, exact=True, generated=3),
    )

    (planned,) = plan(
        [annotator],
        prompts_for(small_task, 1),
        small_task.split("train"),
        small_task.label_set,
        config=AnnotateConfig(),
        spend=SpendConfig(price_input=2),
        folder=tmp_path,
    )

    assert (planned.requests, planned.tokens, planned.tokens_reused) == (
        3 * n,
        300 * n,
        60 + 120 * n,
    )
    assert planned.cost == pytest.approx(300 * n * 2 / 1e6)


def test_prices_are_for_a_million_tokens_and_an_hour():
    spend = SpendConfig(price_input=0.15, price_output=0.6, price_hour=3.6)

    assert price(spend, prompt_tokens=2e6, generated_tokens=1e6, seconds=10) == pytest.approx(
        0.3 + 0.6 + 0.01
    )
