"""Sums in words, for questions and for prose."""

import random

from tools.reference_model import lexicon


def near_numbers(rng: random.Random, answer: int) -> list[str]:
    """Draw numbers around an answer that need not be in their middle."""
    if rng.random() < 0.5:
        return list(lexicon.NUMBERS)
    top = len(lexicon.NUMBERS) - 6
    start = min(max(rng.randint(answer - 5, answer), 0), top)
    return list(lexicon.NUMBERS[start : start + 6])


def sum_words(rng: random.Random) -> tuple[str, str, str, str]:
    """Draw two numbers, a sign and the result, in words."""
    sign = rng.choices(["plus", "minus", "times"], weights=(3, 3, 1))[0]
    if sign == "times":
        left = rng.randint(2, 6)
        right = rng.randint(2, 20 // left)
        result = left * right
    elif sign == "plus":
        left, right = rng.randint(1, 10), rng.randint(1, 10)
        result = left + right
    else:
        left = rng.randint(2, 20)
        right = rng.randint(1, min(left, 10))
        result = left - right
    words = lexicon.NUMBERS
    return words[left], sign, words[right], words[result]
