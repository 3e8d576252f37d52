"""Words in names of columns that tell what a column holds, in English and other languages."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# Words in names of columns, in English and a few other languages.
MAIN_TEXTS = _words(
    """text texts body content message review comment sentence tweet post document doc
    description utterance speech transcript abstract statement feedback verbatim paragraph article
    kommentar nachricht beschreibung antwort freitext aussage inhalt texte texto testo contenu
    commentaire comentario mensaje mensagem tekst"""
)
SHORT_TEXTS = _words("title subject headline summary name question titel betreff titre titulo")
LABELS = _words(
    """label labels gold class classes category categories code codes coding coded target sentiment
    stance topic topics truth annotation human rating stars intent polarity tag tags theme themes
    issue issues klasse klassen kategorie kategorien thema themen bewertung sterne etikett categoria
    classe categorie y"""
)
PEOPLE = _words("gold human coder rater annotator expert hand manual judge mensch kodierer")
NAMES_OF_PEOPLE = _words("coder rater annotator expert judge kodierer")
MODELS = _words(
    """llm gpt chatgpt claude gemini llama mistral mixtral qwen deepseek gemma phi olmo grok
    model modell pred predicted prediction predictions machine openai ai ki bot zeroshot auto"""
)
IDS = _words("id ids uuid guid key nr no num number identifier nummer")
ROW_NUMBERS = _words("unnamed index idx row rownames rowid lfdnr x")
GROUPS = _words(
    """author user username speaker thread conversation dialog dialogue document doc source
    customer client patient session video article account requester outlet page channel party
    organisation organization company product autor nutzer sprecher quelle kunde participant
    respondent interview email mail"""
)
TIMES = _words("date year month day time lang language")


def words_of(name: str) -> list[str]:
    """The words of a column's name in lower case: ``llmLabel_2`` has llm, label and 2."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return [part for part in re.split(r"[\W_]+", parts.casefold()) if part]


def is_model(name: str) -> bool:
    """Whether a column's name says that a model wrote it."""
    words = words_of(name)
    if set(words) & PEOPLE:
        return False
    return any(re.fullmatch(rf"({'|'.join(sorted(MODELS))})[\d.o]*[a-z]?", word) for word in words)
