"""What labels take, counted from the answers they were made of, and its price."""

import time
from typing import Any

import pandas as pd
import pytest

from project.annotation.annotate import annotate
from project.annotation.cost import Meter, Spent, spent
from project.annotation.prompt import build_prompts
from project.config.annotation import AnnotateConfig, SpendConfig
from project.config.prompt import PromptConfig
from project.support.errors import Stopped
from tests.helpers.annotators import ScriptedAnnotator


def answers(keys, requests=1, tokens=100, generated=1):
    columns = {
        "answer_key": list(keys),
        "requests": requests,
        "prompt_tokens": tokens,
        "generated_tokens": generated,
        "seconds": 0.5,
    }
    return pd.DataFrame(columns)


def test_each_distinct_text_of_a_draw_counts_once():
    found = spent(
        [answers("abca", requests=3, tokens=10, generated=2), answers("abc")], human_labels=7
    )

    assert found == Spent(7, 3 * 3 + 3, 3 * 3 * 10 + 3 * 100, 3 * 2 + 3, 6 * 0.5)
    assert spent([], human_labels=2) == Spent(2, 0, 0, 0, 0.0)


def test_the_cost_adds_up_labels_tokens_and_machine_time():
    config = SpendConfig(price_label=0.1, price_input=2.0, price_output=10.0, price_hour=3.6)
    one = Spent(5, 10, 1_000_000, 100_000, 1000.0)

    assert one.cost(config) == pytest.approx(0.5 + 2.0 + 1.0 + 1.0)
    assert one.cost(config, 500.0) == pytest.approx(5.0)
    assert one.cost(SpendConfig()) == 0.0


def test_a_paused_meter_does_not_count_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("project.annotation.cost.time.monotonic", lambda: now[0])
    meter = Meter(SpendConfig(max_minutes=2.0), began=0.0)
    now[0] = 60.0
    meter.add(10, 1000, 10)
    meter.pause()
    meter.pause()
    now[0] = 6000.0  # training
    assert meter.seconds == 60.0
    meter.resume()
    now[0] = 6030.0
    assert meter.seconds == 90.0
    meter.admit(1)
    with pytest.raises(Stopped, match="stopped at max_minutes=2"):
        meter.admit(100)


def test_parallel_copies_share_the_seconds_of_the_machine(small_task, tmp_path):
    class Slow(ScriptedAnnotator):
        shard_size = 4

        def read(self, prompt, texts, arrived=None):
            time.sleep(0.05)
            return super().read(prompt, texts)

    prompts = build_prompts(
        PromptConfig(label_style="name"),
        small_task.label_set,
        "d",
        small_task.split("demonstration"),
        n_draws=1,
    )
    copies: Any = [Slow(len(small_task.label_set)) for _ in range(4)]
    (draw,) = annotate(
        copies,
        prompts,
        small_task.split("train"),
        small_task.label_set,
        config=AnnotateConfig(calibration="none"),
        folder=tmp_path,
        progress=lambda n: None,
        meter=Meter(SpendConfig()),
    )

    # eight shards of 0.05 s, four at a time
    assert 0.1 <= draw.table["seconds"].sum() < 0.3
    assert draw.seconds == pytest.approx(draw.table["seconds"].sum())


def test_the_price_of_an_hour_counts_for_each_machine_while_it_works(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("project.annotation.cost.time.monotonic", lambda: now[0])
    meter = Meter(SpendConfig(price_hour=3600.0), began=0.0)
    now[0] = 10.0
    meter.use_machines(3)
    now[0] = 12.0
    meter.use_machines(2)
    now[0] = 13.0

    assert meter.cost == pytest.approx(10 + 3 * 2 + 2 * 1)
    assert meter.seconds == 13.0
