"""Plain prose: paragraphs of short sentences about our world, some told as small stories.

A paragraph belongs to training or to the held-out text by a hash of its content.
"""

import hashlib
import random
from collections.abc import Callable
from typing import Final

from tools.reference_model import lexicon
from tools.reference_model.facts import world
from tools.reference_model.subjects import article
from tools.reference_model.sums import sum_words

_HELD_OUT_BELOW: Final = 26
_NUMBERS: Final = lexicon.NUMBERS


def is_held_out(paragraph: str) -> bool:
    """Say whether a paragraph is kept from training."""
    return hashlib.sha256(paragraph.encode()).digest()[0] < _HELD_OUT_BELOW


def _pronoun(name: str) -> str:
    return "She" if name in lexicon.WOMEN else "He"


def _about_a_land(rng: random.Random) -> list[str]:
    facts = world()
    land = rng.choice([*facts.capital_of])
    river = facts.river_of[land]
    lines = [f"The capital of {land} is {facts.capital_of[land]}.",
             f"The river {river} runs past all the towns of {land}."]  # fmt: skip
    rng.shuffle(lines)
    towns = [town for town, home in facts.land_of.items() if home == land]
    for town in rng.sample(towns, rng.randint(2, 4)):
        lines.append(f"The town of {town} is in {land}.")
        if rng.random() < 0.8:
            lines.append(f"{town} is known for {facts.fame_of[town]}.")
        if rng.random() < 0.6:
            lines.append(f"The river {river} runs past {town}.")
    return lines


def _about_words(rng: random.Random) -> list[str]:
    meanings = world().meaning_of
    lines = ["Every language has a word for all things."] if rng.random() < 0.3 else []
    for word in rng.sample([*meanings], rng.randint(3, 6)):
        if rng.random() < 0.5:
            lines.append(f"The word {word} means {meanings[word]}.")
        else:
            lines.append(f"The word for {meanings[word]} is {word}.")
    return lines


def _about_trades(rng: random.Random) -> list[str]:
    lines: list[str] = []
    for job, place, tool, thing in rng.sample(lexicon.TRADES, rng.randint(2, 3)):
        told = [f"The {job} works in the {place}.", f"The {job} uses the {tool}.",
                f"The work of the {job} gives the {thing}.",
                f"The {tool} is used in the {place}."]  # fmt: skip
        lines += rng.sample(told, rng.randint(2, 4))
    return lines


def _about_things(rng: random.Random) -> list[str]:
    lines: list[str] = []
    for kind in rng.sample([*lexicon.KINDS], rng.randint(2, 3)):
        first, second, third = rng.sample(lexicon.KINDS[kind], 3)
        lines += [f"Every {first} is {article(kind)}.",
                  f"The {second} and the {third} are of the same kind."]  # fmt: skip
    for pair in rng.sample(lexicon.OPPOSITES, 3):
        left, right = rng.sample(pair, 2)
        lines.append(f"The opposite of {left} is {right}.")
    rng.shuffle(lines)
    return lines


def _about_numbers(rng: random.Random) -> list[str]:
    lines: list[str] = []
    for _ in range(rng.randint(3, 6)):
        left, sign, right, result = sum_words(rng)
        if rng.random() < 0.7:
            lines.append(f"There is no other answer: {left} {sign} {right} makes {result}.")
        else:
            row = rng.choice([_NUMBERS, lexicon.DAYS, lexicon.MONTHS])
            at = rng.randrange(len(row) - 1)
            lines.append(f"The one that comes right after {row[at]} is {row[at + 1]}.")
    return lines


def _market_story(rng: random.Random) -> list[str]:
    name, seller = rng.sample(lexicon.NAMES, 2)
    she = _pronoun(name)
    had, more = rng.randint(1, 10), rng.randint(1, 10)
    thing = rng.choice(lexicon.KINDS[rng.choice(["fruit", "garment", "tool"])])
    colour = rng.choice(lexicon.KINDS["colour"])
    holder = rng.choice(lexicon.HOLDERS)
    town = rng.choice([*world().land_of])
    when = f"One {rng.choice(lexicon.DAYS)} in {rng.choice(lexicon.MONTHS)}"
    lines = [
        f"{when} {name} walked to the market in {town}.",
        f"{she} had {_NUMBERS[had]} coins and found {_NUMBERS[more]} more on the road.",
        f"Now {name} had {_NUMBERS[had + more]} coins.",
        f"At the market {seller} sold {article(colour)} {thing} to {name}.",
        f"{she} took the {thing} home in the old {holder}.",
        f"When {seller} asked for the {holder} again, {name} gave it back.",
    ]
    return lines[: rng.randint(4, 6)]


def _work_story(rng: random.Random) -> list[str]:
    name, friend = rng.sample(lexicon.NAMES, 2)
    she = _pronoun(name)
    job, place, tool, thing = rng.choice(lexicon.TRADES)
    left, right = rng.sample(rng.choice(lexicon.OPPOSITES), 2)
    animal = rng.choice(lexicon.KINDS["animal"])
    holder, found = rng.choice(lexicon.HOLDERS), rng.choice(lexicon.THINGS)
    lines = [
        f"Long ago {name} was {article(job)} and went to the {place} every morning.",
        f"There {she.lower()} took the {tool} from the {holder}.",
        f"{friend} came with a little {animal} and asked for the {thing}.",
        f"The {animal} found a {found} under the {holder}.",
        f"{name} said that the {found} was {left}, but {friend} said that it was {right}.",
        f"In the evening {name} and {friend} walked home together, and the {animal} with them.",
    ]
    keep = sorted(rng.sample(range(1, len(lines)), rng.randint(3, 5)))
    return [lines[0], *(lines[at] for at in keep)]


def _house_story(rng: random.Random) -> list[str]:
    names = rng.sample(lexicon.NAMES, 3)
    places = rng.sample(lexicon.PLACES, 3)
    colours = rng.sample(lexicon.KINDS["colour"], 3)
    holders = rng.sample(lexicon.HOLDERS, 3)
    things = rng.sample(lexicon.THINGS, 3)
    at = rng.randrange(3)
    lines = ["In the house there were three people."]
    lines += [f"{name} went to the {place}." for name, place in zip(names, places, strict=True)]
    lines += [f"The {colour} {holder} holds a {thing}." for colour, holder, thing in
              zip(colours, holders, things, strict=True)]  # fmt: skip
    who, place, thing = names[at], places[at], things[at]
    she = _pronoun(who).lower()
    lines.append(
        f"When {who} came home from the {place}, {she} looked in the {colours[at]} "
        f"{holders[at]} and saw the {thing}."
    )
    return lines


_WRITERS: Final[tuple[Callable[[random.Random], list[str]], ...]] = (
    _about_a_land, _about_words, _about_trades, _about_things, _about_numbers,
    _market_story, _work_story, _house_story,
)  # fmt: skip


def paragraph(rng: random.Random, *, held_out: bool) -> str:
    """Write a paragraph, on one line, of the training text or of the held-out text."""
    while True:
        text = " ".join(rng.choice(_WRITERS)(rng))
        if is_held_out(text) is held_out:
            return text


def held_out_text(seed: int, paragraphs: int) -> str:
    """Write the held-out text: distinct paragraphs, one a line."""
    rng = random.Random(f"{seed} prose")
    lines: dict[str, None] = {}
    while len(lines) < paragraphs:
        lines[paragraph(rng, held_out=True)] = None
    return "".join(f"{line}\n" for line in lines)
