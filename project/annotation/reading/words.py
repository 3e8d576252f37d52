"""Words and signs by which a reply is read, as sets and patterns; all words are casefolded.

What stands here decides only whether a reply is plainly one label. A word that is missing leaves a
reply without a label, which is counted; it never changes the label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Characters of scripts without a space between words (or with particles behind them), as the
inside of a character class."""
IS_UNSPACED = re.compile(f"[{UNSPACED}]")

LETTER = rf"[^\W_{UNSPACED}]"
"""A letter or digit of a script with spaces between words."""
WORD = re.compile(rf"[^\W\d_{UNSPACED}]+(?:'[^\W\d_{UNSPACED}]+)*|\d+|[{UNSPACED}]")


def _set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# English, German, French, Spanish, Italian, Portuguese, Dutch, Turkish, Russian
FILLERS = _set(
    """a about above according after all also an analysing analyzing and answer appears
    appropriate are article as assigned assigning at based be been being belongs best by case
    categorise categorised categorize categorized category certainly choice choose chosen class
    classed classification classified classify clearly code comment conclude content conveys
    correct corresponding customer definitely described document email emotion evaluation
    example expressed expresses falls final fits following for from given has have headline
    here i i'd i'll i'm i've in indeed input intent into is it it's item its label labeled
    labelled likely list mail matches matching message mood most must my news of ok okay on one
    opinion option our output overall paragraph passage pick piece post predicted prediction
    provided question rate rated rating reading reply response result review score select
    selected sentence sentiment shall language genre polarity domain field section should
    snippet so speaker stance statement subject suitable sure text that that's the their
    therefore this thus title to tone topic tweet type under user verdict was we we'd which
    will with would writer author your das dem den der die dieser dieses ein eine ist antwort
    kategorie klasse stimmung thema lautet wird würde ich als ce cet cette c'est est le la les
    l'étiquette réponse catégorie classe étiquette du de el es esta este respuesta categoría
    clase etiqueta sentimiento texto del il è questo questa risposta categoria etichetta
    sentimento testo o resposta rótulo é do da het antwoord deze tekst cevap etiket kategori
    sınıf bu metin ответ это метка категория класс текст"""
)
"""Words that may stand before a label in a sentence which says that it is the answer."""

NOUNS = _set(
    """article case category class classification code comment content document email emotion
    feedback feeling headline here item label mail message mood news one opinion option overall
    passage post rating review sentence sentiment stance statement text tone topic tweet type
    texto kategorie klasse categoría catégorie etiket clearly definitely indeed"""
)
"""Words that may follow a label in such a sentence: a positive review, the Sports category."""

UNITS = frozenset({"star", "stars", "point", "points"})
"""Words that may follow a label which is a number."""

BOUNDS = frozenset({"about", "above", "under"})
"""Words of an answer that give a number another meaning: about 4, under 3."""

CONNECTIVES = _set(
    """because since as due given based for considering with weil da denn porque ya parce car
    puisque perché poiché pois omdat want çünkü потому поскольку так"""
)
"""Words with which an explanation begins."""

PREPOSITIONS = frozenset({"about", "in", "of", "on", "regarding", "toward", "towards"})
"""Words that may follow these nouns: a positive review of the film."""

PREDICATES = frozenset({"is", "fits", "matches"})
"""Words behind a label that say it is the answer, if only filling words follow them."""

NEGATIONS = _set(
    """no not non none nor neither never nothing cannot without hardly barely rather instead
    unlike incorrect wrong opposite except unless false if whether unclear uncertain unsure
    nicht kein keine keiner nie weder ohne nein ne pas ni jamais sans aucun aucune nunca
    tampoco sin não nem sem né senza niet geen nooit zonder değil hayır yok не нет ни без brak
    bez inte ej ikke ei"""
)
UNSPACED_NEGATIONS = re.compile(
    "不|没|沒|無|无|未|非|否|别|別|莫|吗|嗎|可能|也许|或许|也許|或許|大概|似乎|ない|ません|なし"
    "|かも|아니|않|못|없|ไม่"
)

VALUES = _set(
    """yes no true false none null nil nan na high low medium absent present unknown unclear maybe
    perhaps ja nein oui non si sí sì sim não nee evet hayır да нет"""
)
"""Words that say whether or how much a label applies: what follows the name of a label is then its
value, not an explanation."""

OTHER_KEYS = _set(
    """because categories choices context example examples excerpt explanation incorrect input
    instruction instructions justification note opposite options previous prompt question
    rationale reason reasoning reasons text thought thoughts wrong"""
)
_OBJECTS = frozenset({"context", "input", "prompt", "question", "text"})
_ARTICLES = frozenset({"a", "an", "my", "our", "the", "this", "your"})


def is_other_key(key: Sequence[str]) -> bool:
    """Whether the words before a colon announce something else than the answer.

    The sentiment of the text is an answer; the text is none, nor is the reason for the label.
    """
    content = [word for word in key if word not in _ARTICLES]
    if not content:
        return False
    return OTHER_KEYS.issuperset(content) or content[0] in OTHER_KEYS - _OBJECTS


ANSWER_KEY = re.compile(
    r"(?<![^\W_])(?:label|answer|class|category|classification|prediction|predicted|antwort"
    r"|réponse|respuesta|risposta|resposta|etiqueta|étiquette|kategorie|klasse|ответ|метка"
    r"|答案|标签|標籤|分类|分類|类别|類別|ラベル|回答|답|레이블)(?![^\W_])"
)
"""Keys behind which the answer must stand."""
SURE_KEY = re.compile(r"confidence|certainty|probability|likelihood|logprob")
"""Keys of numbers that say how sure the model is, whatever labels there are."""

UNSPACED_BEFORE = re.compile(
    "(?:是一?[条條个個篇则則句段]?|标签|标籤|答案|分类|分類|情感|类别|類別|ラベル|回答|답|为|為|属于|屬於|归于|选项|選項|選|选|は|が|을|를|은|는|이|가|คือ|เป็น)$"
)
UNSPACED_AFTER = re.compile(
    "(?:的|地|性|情感|情绪|情緒|评价|評價|评论|評論|文本|文章|类|類|类别|類別|分类|分類|标签|標籤"
    "|です|だ|である|입니다|이다|적|이에요|예요|함|ค่ะ|ครับ)*"
)
"""What may stand directly before and behind a label in scripts without spaces."""
