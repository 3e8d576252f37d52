"""What labels take: counted from the answers they were made of, whoever paid, and priced."""

import pandas as pd
import pytest

from project.config import SpendConfig
from project.spend import Spent, spent


def answers(keys, requests=1, tokens=100, generated=1):
    columns = {"answer_key": list(keys), "requests": requests, "prompt_tokens": tokens, "generated_tokens": generated, "seconds": 0.5}
    return pd.DataFrame(columns)


def test_every_draw_counts_every_text_once_and_a_text_that_stands_twice_was_asked_about_once():
    found = spent([answers("abca", requests=3, tokens=10, generated=2), answers("abc")], human_labels=7)

    assert found == Spent(7, 3 * 3 + 3, 3 * 3 * 10 + 3 * 100, 3 * 2 + 3, 6 * 0.5)
    assert spent([], human_labels=2) == Spent(2, 0, 0, 0, 0.0)


def test_the_cost_is_that_of_labels_tokens_and_the_machine():
    config = SpendConfig(price_label=0.1, price_input=2.0, price_output=10.0, price_hour=3.6)
    one = Spent(5, 10, 1_000_000, 100_000, 1000.0)

    assert one.cost(config) == pytest.approx(0.5 + 2.0 + 1.0 + 1.0)
    assert one.cost(config, 500.0) == pytest.approx(5.0)
    assert one.cost(SpendConfig()) == 0.0
