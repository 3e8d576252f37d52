"""A task, demonstrations and a label style -> the prompt. Pure: text in, text out."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from project.config.prompt import PromptConfig
from project.support.errors import AssayError

TEMPLATE = """\
### Instruction ###
{task_description}
Respond with only the label name, nothing else.
### Available Labels ###
{label_description}
### Examples ###
{demonstrations}
### Input ###
Text to classify: {input_text}
### Output ###
Label:"""
"""Lu and Smith (2025), Appendix C, word for word."""

PLACEHOLDERS = ("task_description", "label_description", "demonstrations", "input_text")
LETTERS = string.ascii_uppercase + string.ascii_lowercase
_DEMONSTRATION = "Text to classify: {text}\nLabel: {label}"  # the paper does not show one; this repeats the template's own words


@dataclass(frozen=True)
class Prompt:
    """The prompt of one draw: ``before + text + after``, answered by one of ``answers``, classes in the order of the label set.

    Where the template ends in a space or a line break an answer is the label itself, else a space and the label. ``chat``: the
    prompt is a user's message in the model's chat template, behind the message ``system``; the reply is the label itself.
    """

    draw: int
    before: str
    after: str
    answers: tuple[str, ...]
    demonstration_ids: tuple[str, ...] = ()
    chat: bool = False
    system: str = ""

    def render(self, text: str) -> str:
        """The whole prompt for ``text``, without the chat template."""
        return f"{self.before}{text}{self.after}"

    def messages(self, text: str) -> list[dict[str, str]]:
        """The prompt for ``text`` as the messages of a chat."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.render(text)}]

    def for_people(self, text: str) -> str:
        """The whole prompt for ``text`` as a person reads it; a chat with its roles."""
        if not self.chat:
            return self.render(text)
        parts = (f"[{message['role']}]\n{message['content']}" for message in self.messages(text))
        return "\n".join(parts)


def written_labels(
    label_set: Sequence[str], style: str, order: Sequence[int] | None = None
) -> tuple[str, ...]:
    """Labels as the annotator reads and writes them, in the order of ``label_set``: names, integers from 0, or letters from A.

    ``order``: the positions of the label set as they are listed; codes are given out in that order.
    """
    if style == "name":
        return tuple(label_set)
    if style == "letter" and len(label_set) > len(LETTERS):
        raise AssayError(
            f"label_style=letter can write {len(LETTERS)} labels; the task has {len(label_set)}. Use -P label_style=integer or name."
        )
    places = {index: place for place, index in enumerate(order or range(len(label_set)))}
    return tuple(
        LETTERS[places[index]] if style == "letter" else str(places[index])
        for index in range(len(label_set))
    )


def demonstration_sets(
    pool: pd.DataFrame, n: int, n_draws: int, *, seed: int, balanced: bool = False
) -> list[pd.DataFrame]:
    """``n_draws`` different sets of ``n`` rows of the demonstration pool (an examples table), each drawn at random without replacement.

    A set depends on ``seed``, the pool and the sets before it, so that K + 1 draws begin with the same K. ``balanced``: the
    classes of a set differ by at most one row, where the pool has that many. Without demonstrations (``n`` 0) all draws are alike.
    """
    if n > len(pool):
        raise AssayError(
            f"n_demonstrations must be at most the size of the demonstration pool, {len(pool)}; got {n}. Lower it, or enlarge the pool."
        )
    if n == 0:
        return [pool.iloc[:0]] * n_draws
    if n_draws > math.comb(len(pool), n):
        raise AssayError(
            f"ensemble_size must be at most {math.comb(len(pool), n)}, the number of different sets of {n} out of {len(pool)} demonstrations; "
            f"got {n_draws}. Lower it, or raise n_demonstrations."
        )
    ordered, sets = pool.sort_values("example_id"), []
    labels = ordered["gold_label"].to_numpy(dtype=object)
    seen: set[frozenset[int]] = set()
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        for _ in range(10_000):
            rows = (
                _balanced(labels, n, rng)
                if balanced
                else rng.choice(len(pool), size=n, replace=False)
            )
            if frozenset(rows) not in seen:
                break
        else:
            raise AssayError(
                f"ensemble_size: the demonstration pool of {len(pool)} has no {n_draws} different balanced sets of {n}. Lower it, raise "
                "n_demonstrations, or use -P demonstration_choice=random."
            )
        seen.add(frozenset(rows))
        sets.append(ordered.iloc[rows])
    return sets


def _balanced(labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` positions of ``labels``: one of each class in turn, the classes and the rows of each in random order; then shuffled."""
    classes = [
        rng.permutation(np.flatnonzero(labels == name))
        for name in rng.permutation(sorted(set(labels)))
    ]
    turns = [
        rows[turn] for turn in range(max(map(len, classes))) for rows in classes if turn < len(rows)
    ]
    return rng.permutation(np.array(turns[:n]))


def label_order(n_labels: int, draw: int, *, seed: int, permute: bool) -> list[int]:
    """The positions of the label set in the order in which draw ``draw`` lists them; the first draw keeps the label set's own."""
    if not permute or draw == 0:
        return list(range(n_labels))
    return [int(index) for index in np.random.default_rng([seed, draw, 1]).permutation(n_labels)]


def load_template(path: str) -> str:
    """A template of the user's own, its placeholders checked; the paper's for an empty path."""
    if not path:
        return TEMPLATE
    try:
        template = Path(path).expanduser().read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise AssayError(
            f"template {path} cannot be read as UTF-8 text: {' '.join(str(error).split())}"
        ) from None
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise AssayError(
            f"template {path}: {error}. Write {{{{ and }}}} for braces that are not a placeholder."
        ) from None
    unknown = [name for name in names if name not in PLACEHOLDERS]
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise AssayError(
            f"template {path}: placeholders must be among {known}; got {{{unknown[0]}}}. Write {{{{ and }}}} for braces that are not a placeholder."
        )
    if names.count("input_text") != 1 or "label_description" not in names:
        raise AssayError(
            f"template {path} must hold {{input_text}} exactly once and {{label_description}}; it holds {', '.join(names) or 'none'}."
        )
    if "input_text" in names and names.index("input_text") < len(names) - 1:
        raise AssayError(
            f"template {path}: {{input_text}} must come after all other placeholders, so that what stands before it is read once for all texts."
        )
    return template


def build_prompt(
    label_set: Sequence[str],
    description: str,
    shown: pd.DataFrame,
    *,
    style: str,
    draw: int,
    template: str = TEMPLATE,
    order: Sequence[int] | None = None,
    chat: bool = False,
    system: str = "",
) -> Prompt:
    """The prompt with the demonstrations ``shown`` (an examples table), labels written in ``style`` and listed in ``order``."""
    order = order or range(len(label_set))
    words = dict(zip(label_set, written_labels(label_set, style, order), strict=True))
    listed = [label_set[index] for index in order]
    described = (
        "\n".join(listed)
        if style == "name"
        else json.dumps({words[label]: label for label in listed}, ensure_ascii=False)
    )
    texts = [
        _DEMONSTRATION.format(text=text, label=words[label])
        for text, label in zip(shown["text"], shown["gold_label"], strict=True)
    ]
    before, after = template.split("{input_text}")
    values = {
        "task_description": description,
        "label_description": described,
        "demonstrations": "\n".join(texts),
    }
    after = after.format()
    space = "" if chat or after[-1:].isspace() else " "
    answers = tuple(f"{space}{word}" for word in words.values())
    return Prompt(
        draw, before.format(**values), after, answers, tuple(shown["example_id"]), chat, system
    )


def build_prompts(
    config: PromptConfig,
    label_set: Sequence[str],
    description: str,
    pool: pd.DataFrame,
    n_draws: int,
) -> list[Prompt]:
    """One prompt for each of ``n_draws`` draws: demonstrations out of ``pool`` (an examples table), labels in the draw's order."""
    if n_draws > 1 and config.n_demonstrations == 0 and not config.permute_labels:
        raise AssayError(
            f"ensemble_size must be 1 without demonstrations: all {n_draws} draws would be the same prompt. "
            "Use -P ensemble_size=1, raise n_demonstrations, or list the labels in another order in every draw with -P permute_labels=true."
        )
    template, seed = load_template(config.template), config.demonstration_seed
    if config.n_demonstrations and "{demonstrations}" not in template:
        raise AssayError(
            f"template {config.template} shows no {{demonstrations}}. Add the placeholder, or use -P n_demonstrations=0."
        )
    shown = demonstration_sets(
        pool,
        config.n_demonstrations,
        n_draws,
        seed=seed,
        balanced=config.demonstration_choice == "balanced",
    )
    orders = [
        label_order(len(label_set), draw, seed=seed, permute=config.permute_labels)
        for draw in range(n_draws)
    ]
    return [
        build_prompt(
            label_set,
            description,
            shown[draw],
            style=str(config.label_style),
            draw=draw,
            template=template,
            order=orders[draw],
            chat=config.chat_template,
            system=config.system_prompt,
        )
        for draw in range(n_draws)
    ]
