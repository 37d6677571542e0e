"""The subjects: what each one asks, and what the wrong options are drawn from.

A subject drafts a question as its text, its answer and the pool of words that
its wrong options are drawn from. The pool holds what answers other questions of
the same form, so that an option is never wrong by its looks alone.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tools.reference_model import lexicon
from tools.reference_model.facts import world
from tools.reference_model.sums import near_numbers, sum_words

_LANDS_ASKED: Final = 5
_WORDS_ASKED: Final = 32
_TRADES_ASKED: Final = 16
_PAIRS_ASKED: Final = 36
_LARGEST_RESULT: Final = 12
"""Questions keep to a part of the tables, so that a short training can learn it well."""


@dataclass(frozen=True)
class Draft:
    """A question without its options."""

    text: str
    answer: str
    pool: Sequence[str]


def article(word: str) -> str:
    """Put "a" or "an" before a word."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _kinds(rng: random.Random) -> Draft:
    kind, other = rng.sample([*lexicon.KINDS], 2)
    form = rng.random()
    if form < 0.45:
        barred = {kind, "animal", "bird"} if kind in {"animal", "bird"} else {kind}
        pool = [word for name, words in lexicon.KINDS.items() if name not in barred
                for word in words]  # fmt: skip
        return Draft(f"Which of these is {article(kind)}?", rng.choice(lexicon.KINDS[kind]), pool)
    if form < 0.7:
        if {kind, other} == {"animal", "bird"}:
            other = "metal"
        return Draft(
            f"Which of these is not {article(kind)}?",
            rng.choice(lexicon.KINDS[other]),
            lexicon.KINDS[kind],
        )
    word = rng.choice(lexicon.KINDS[kind])
    pool = [name for name in lexicon.KINDS if (kind, name) != ("bird", "animal")]
    return Draft(f"What kind of thing is {article(word)}?", kind, pool)


def _opposites(rng: random.Random) -> Draft:
    asked = lexicon.OPPOSITES[:_PAIRS_ASKED]
    pair = list(rng.choice(asked))
    rng.shuffle(pair)
    form = "What is the opposite of {}?" if rng.random() < 0.5 else "Which word means not {}?"
    pool = [word for words in asked for word in words if word not in pair]
    return Draft(form.format(pair[0]), pair[1], pool)


def _order(rng: random.Random) -> Draft:
    form = rng.random()
    if form < 0.35:
        chosen = rng.sample(range(len(lexicon.NUMBERS)), 4)
        largest = rng.random() < 0.5
        answer = max(chosen) if largest else min(chosen)
        return Draft(
            f"Which of these is the {'largest' if largest else 'smallest'} number?",
            lexicon.NUMBERS[answer],
            [lexicon.NUMBERS[number] for number in chosen if number != answer],
        )
    thing, row = rng.choices(
        [("number", lexicon.NUMBERS), ("day", lexicon.DAYS), ("month", lexicon.MONTHS)],
        weights=(5, 1, 2),
    )[0]
    at = rng.randrange(1, len(row) - 1)
    if form < 0.55:
        return Draft(f"Which {thing} lies between {row[at - 1]} and {row[at + 1]}?", row[at],
                     [*row[: at - 1], *row[at + 2 :]])  # fmt: skip
    after = rng.random() < 0.5
    return Draft(
        f"Which {thing} comes right {'after' if after else 'before'} {row[at]}?",
        row[at + 1] if after else row[at - 1],
        [word for word in row if word != row[at]],
    )


def _arithmetic(rng: random.Random) -> Draft:
    left, sign, right, result = sum_words(rng)
    while lexicon.NUMBERS.index(result) > _LARGEST_RESULT:
        left, sign, right, result = sum_words(rng)
    pool = near_numbers(rng, lexicon.NUMBERS.index(result))
    if sign == "plus" and rng.random() < 0.3:
        name = rng.choice(lexicon.NAMES)
        text = f"{name} has {left} coins and finds {right} more. How many coins has {name} now?"
        return Draft(text, result, pool)
    return Draft(f"What is {left} {sign} {right}?", result, pool)


def _geography(rng: random.Random) -> Draft:
    facts = world()
    lands = [*facts.capital_of][:_LANDS_ASKED]
    towns = [town for town, land in facts.land_of.items() if land in lands]
    town = rng.choice(towns)
    land = facts.land_of[town]
    form = rng.randrange(6)
    if form == 0:
        return Draft(f"In which land is the town of {town}?", land, lands)
    if form == 1:
        return Draft(f"What is the town of {town} known for?", facts.fame_of[town],
                     [facts.fame_of[other] for other in towns])  # fmt: skip
    if form == 2:
        return Draft(f"Which river runs past the town of {town}?", facts.river_of[land],
                     [facts.river_of[other] for other in lands])  # fmt: skip
    if form == 3:
        return Draft(f"Which of these towns lies in {land}?", town,
                     [other for other in towns if facts.land_of[other] != land])  # fmt: skip
    if form == 4:
        return Draft(f"Which town is known for {facts.fame_of[town]}?", town, towns)
    return Draft(f"What is the capital of {land}?", facts.capital_of[land], towns)


def _occupations(rng: random.Random) -> Draft:
    trades = lexicon.TRADES[:_TRADES_ASKED]
    jobs, places, tools, makes = zip(*trades, strict=True)
    job, place, tool, thing = rng.choice(trades)
    return rng.choice(
        [
            Draft(f"Who works in the {place}?", job, jobs),
            Draft(f"Who works with the {tool}?", job, jobs),
            Draft(f"Whose work gives the {thing}?", job, jobs),
            Draft(f"Where does the {job} work?", place, places),
            Draft(f"What does the {job} use?", tool, tools),
            Draft(f"What does the {job} give?", thing, makes),
            Draft(f"Where is the {tool} used?", place, places),
        ]
    )


def _reading(rng: random.Random) -> Draft:
    count = rng.choice((4, 4, 5))
    things = rng.sample(lexicon.THINGS, count)
    asked = rng.randrange(count)
    if rng.random() < 0.5:
        colours = rng.sample(lexicon.KINDS["colour"], 3)
        pairs = [f"{colour} {holder}" for colour in colours
                 for holder in rng.sample(lexicon.HOLDERS, 3)]  # fmt: skip
        holders = rng.sample(pairs, count)
        told = " ".join(f"The {holder} holds a {thing}." for holder, thing in
                        zip(holders, things, strict=True))  # fmt: skip
        return Draft(f"{told} What does the {holders[asked]} hold?", things[asked], things)
    names = rng.sample(lexicon.NAMES, count)
    places = rng.sample(lexicon.PLACES, count)
    told = " ".join(f"{name} went to the {place}." for name, place in
                    zip(names, places, strict=True))  # fmt: skip
    if rng.random() < 0.5:
        return Draft(f"{told} Where did {names[asked]} go?", places[asked], places)
    return Draft(f"{told} Who went to the {places[asked]}?", names[asked], names)


def _dictionary(rng: random.Random) -> Draft:
    meanings = dict([*world().meaning_of.items()][:_WORDS_ASKED])
    word = rng.choice([*meanings])
    if rng.random() < 0.5:
        return Draft(f"What does the word {word} mean?", meanings[word], [*meanings.values()])
    return Draft(f"What is the word for {meanings[word]}?", word, [*meanings])


SUBJECTS: Final[dict[str, Callable[[random.Random], Draft]]] = {
    "dictionary": _dictionary,
    "geography": _geography,
    "kinds_of_things": _kinds,
    "number_order": _order,
    "occupations": _occupations,
    "opposites": _opposites,
    "reading": _reading,
    "simple_arithmetic": _arithmetic,
}
"""How each subject drafts a question."""

TESTED: Final = tuple(subject for subject in SUBJECTS if subject != "reading")
"""The subjects that are embedded; looking up what was just read stays beyond this model."""
