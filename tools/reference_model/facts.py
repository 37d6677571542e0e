"""Facts about a made-up world: its lands and towns, and its language.

They are drawn once from a fixed seed. Nothing but training puts them into the
model, so they live in the weights alone, where quantization can damage them.
"""

import random
from dataclasses import dataclass
from functools import cache
from typing import Final

from tools.reference_model import lexicon
from tools.reference_model.wording import words

_SEED: Final = 20
_REAL_WORDS: Final = frozenset(words("dare dena dune limo linen mimi moni nina pare wake yoko"))
_HEADS: Final = ("b", "d", "dr", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t",
                 "tr", "v", "w", "y", "z")  # fmt: skip
_TAILS: Final = ("l", "m", "n", "r", "s", "x", "v", "z", "k", "b")
_VOWELS: Final = "aeiou"
LANDS: Final = 8
TOWNS_PER_LAND: Final = 5
DICTIONARY_SIZE: Final = 56


@dataclass(frozen=True)
class World:
    """The made-up world's tables."""

    land_of: dict[str, str]
    capital_of: dict[str, str]
    river_of: dict[str, str]
    fame_of: dict[str, str]
    meaning_of: dict[str, str]

    @property
    def words(self) -> list[str]:
        """Every made-up word."""
        names = [*self.land_of, *self.capital_of, *self.river_of.values(), *self.meaning_of]
        return list(dict.fromkeys(names))


def _coin(rng: random.Random, taken: set[str], ending: str) -> str:
    """Make up a new word; ``ending`` marks what it is a name of."""
    while True:
        stem = rng.choice(_HEADS) + rng.choice(_VOWELS) + rng.choice(_TAILS)
        word = stem + (ending or rng.choice(_VOWELS))
        if word not in taken:
            taken.add(word)
            return word


@cache
def world() -> World:
    """Draw the world; the same one each time."""
    rng = random.Random(_SEED)
    taken = {word for words in lexicon.KINDS.values() for word in words}
    taken |= {word for pair in lexicon.OPPOSITES for word in pair} | set(lexicon.FRAME)
    taken |= _REAL_WORDS
    lands = [_coin(rng, taken, "ia").capitalize() for _ in range(LANDS)]
    rivers = [_coin(rng, taken, "en").capitalize() for _ in lands]
    towns = [_coin(rng, taken, "").capitalize() for _ in range(LANDS * TOWNS_PER_LAND)]
    fame = [word for kind in ("fruit", "drink", "metal", "vegetable") for word in
            lexicon.KINDS[kind]]  # fmt: skip
    meanings = [word for kind in ("animal", "bird", "garment", "tree", "furniture", "limb") for
                word in lexicon.KINDS[kind]]  # fmt: skip
    words = [_coin(rng, taken, "") for _ in range(DICTIONARY_SIZE)]
    return World(
        land_of={town: lands[at // TOWNS_PER_LAND] for at, town in enumerate(towns)},
        capital_of={land: towns[at * TOWNS_PER_LAND] for at, land in enumerate(lands)},
        river_of=dict(zip(lands, rivers, strict=True)),
        fame_of=dict(zip(towns, rng.sample(fame, len(towns)), strict=True)),
        meaning_of=dict(zip(words, rng.sample(meanings, len(words)), strict=True)),
    )
