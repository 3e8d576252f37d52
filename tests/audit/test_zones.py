"""Parts of the pool with texts of similar content."""

import numpy as np

from project.audit.zones import MAX_ZONES, TEXTS_OF_A_ZONE, zones

RANDOM = np.random.default_rng(0)
TOPICS = ["tax budget", "school teacher", "river forest"]
TOPIC = np.arange(300) % 3
CENTRES = np.eye(3) * 5
POINTS = CENTRES[TOPIC] + RANDOM.normal(size=(300, 3)) / 5
TEXTS = [f"the {TOPICS[code]} of today" for code in TOPIC]


def test_a_zone_is_named_by_the_words_that_set_it_apart():
    names = zones(POINTS, TEXTS, 3 * TEXTS_OF_A_ZONE)

    assert len(set(names)) == 3
    for code, words in enumerate(TOPICS):
        found = {name for name, topic in zip(names, TOPIC, strict=True) if topic == code}
        assert len(found) == 1
        assert all(word in found.pop() for word in words.split()[:1])


def test_small_audits_have_no_zones_and_large_ones_at_most_eight():
    points = RANDOM.normal(size=(300, 3))

    assert zones(POINTS, TEXTS, 2 * TEXTS_OF_A_ZONE - 1) == []
    assert len(set(zones(points, TEXTS, 10_000))) == MAX_ZONES


def test_without_texts_zones_are_numbered():
    names = zones(POINTS, [""] * 300, 3 * TEXTS_OF_A_ZONE)

    assert sorted(set(names)) == ["1", "2", "3"]
