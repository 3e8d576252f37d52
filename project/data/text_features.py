"""Cheap, named features of texts, of the kind that is blamed for an LLM's errors.

No model reads the texts. Syntax is counted by its markers: words that open an embedded clause, and
the longest sentence. That is rough, the same everywhere, and needs no download. Word lists are
English and German; in other languages these features are constant and drop out.

Sources: linguistic depth, Linguistic Blind Spots of Large Language Models (arXiv:2503.19260);
ambiguity and hedging, AmbiEnt (arXiv:2304.14399); presuppositions and agreement, FLEX.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from project.data.text_forms import folded_text

if TYPE_CHECKING:
    import pandas as pd

FEATURES = {
    "words": "words",
    "longest_sentence": "words of the longest sentence",
    "clauses": "markers of embedded clauses",
    "negations": "negations",
    "questions": "question marks",
    "quotations": "quotation marks",
    "hedges": "hedging words",
    "premises": "words that take something for granted",
    "sentiment": "words of praise or blame",
    "rare_words": "share of words that no other text has",
    "common_words": "share of words among the 100 most frequent",
    "capitals": "share of capital letters",
    "digits": "share of digits",
    "emoji": "emoji",
    "markup": "HTML tags and escapes",
    "addresses": "web addresses, mentions and hashtags",
}
"""What each feature counts, by column."""
_N_COMMON = 100

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_SENTENCE_END = re.compile("[.!?\u2026]+[\"'\u201d\u2019)]*\\s|\\n")
_QUOTES = re.compile("[\"\u201c\u201d\u201e\u00ab\u00bb]|(?<!\\w)['\u2018]|['\u2019](?!\\w)")
_EMOJI = re.compile("[\u2600-\u27bf\U0001f1e6-\U0001faff]|[:;=]-?[()DPp](?!\\w)")
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|&(?:[A-Za-z]+|#\d+);")
_ADDRESS = re.compile(r"https?://|www\.|(?<!\w)[@#]\w")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CLAUSES = _words(
    "that which who whom whose because although though while whereas unless until since if whether "
    "when where after before as so than "
    "dass daß weil obwohl während wenn ob bevor nachdem damit sodass indem falls sobald solange "
    "welche welcher welches deren dessen"
)
_NEGATIONS = _words(
    "no not never none nobody nothing neither nor nowhere without cannot hardly scarcely barely "
    "nicht kein keine keinen keinem keiner nie niemals niemand nichts weder noch ohne kaum"
)
_HEDGES = _words(
    "may might could perhaps maybe possibly probably apparently seemingly arguably somewhat rather "
    "fairly quite seem seems seemed appear appears suggest suggests likely allegedly reportedly "
    "vielleicht möglicherweise wohl vermutlich wahrscheinlich eventuell anscheinend scheint könnte "
    "dürfte angeblich eher ziemlich"
)
_PREMISES = _words(
    "again still already even anymore course obviously clearly evidently undoubtedly naturally "
    "realise realize realised realized admit admits admitted know knows knew known regret regrets "
    "forgot forget discovered stopped continue continues fact truth "
    "wieder schon sogar natürlich offensichtlich selbstverständlich bekanntlich ohnehin eben "
    "weiterhin immer tatsache wahrheit"
)
_SENTIMENT = _words(
    "good great best better excellent wonderful amazing love loved perfect happy nice beautiful "
    "brilliant success successful win strong improve improved benefit positive "
    "bad worst worse terrible awful horrible hate hated poor sad ugly stupid boring fail failed "
    "failure loss weak wrong shame disgusting ridiculous outrageous radical extreme negative "
    "gut toll super beste besser liebe schön stark erfolg gewinn "
    "schlecht schlimm furchtbar hass hässlich dumm schande falsch verlust schwach lächerlich"
)


def text_features(texts: Sequence[str]) -> pd.DataFrame:
    """The features of texts ``(n, len(FEATURES))``, in the order of the texts.

    ``rare_words`` and ``common_words`` depend on all texts together. A text without words has
    shares of 0.
    """
    import pandas as pd

    words = [[word.lower() for word in _WORD.findall(folded_text(text))] for text in texts]
    n_texts = Counter(word for own in words for word in set(own))
    # Of equally frequent words the first in the alphabet: a set of words has no order that stays.
    common = set(sorted(n_texts, key=lambda word: (-n_texts[word], word))[:_N_COMMON])
    rows = []
    for text, own in zip(texts, words, strict=True):
        n_words = max(1, len(own))
        rows.append(
            {
                "words": len(own),
                "longest_sentence": _longest_sentence(text),
                "clauses": _count(own, _CLAUSES),
                "negations": sum(
                    word in _NEGATIONS or word.endswith(("n't", "n\u2019t")) for word in own
                ),
                "questions": text.count("?"),
                "quotations": len(_QUOTES.findall(text)),
                "hedges": _count(own, _HEDGES),
                "premises": _count(own, _PREMISES),
                "sentiment": _count(own, _SENTIMENT),
                "rare_words": sum(n_texts[word] == 1 for word in own) / n_words,
                "common_words": sum(word in common for word in own) / n_words,
                "capitals": sum(map(str.isupper, text)) / max(1, len(text)),
                "digits": sum(map(str.isdigit, text)) / max(1, len(text)),
                "emoji": len(_EMOJI.findall(text)),
                "markup": len(_MARKUP.findall(text)),
                "addresses": len(_ADDRESS.findall(text)),
            }
        )
    return pd.DataFrame(rows, columns=list(FEATURES)).astype(float)


def _count(words: Sequence[str], among: frozenset[str]) -> int:
    return sum(word in among for word in words)


def _longest_sentence(text: str) -> int:
    """Words of the longest sentence."""
    return max(len(_WORD.findall(sentence)) for sentence in _SENTENCE_END.split(text))
