"""What a side measures of its own process."""

import pytest

from benchmarks.peers import evaluating
from benchmarks.peers.measuring import FromFirst, Memory


class Library:
    """Evaluates as lm-eval does: one method that makes requests, and scores in another."""

    def loglikelihood(self, requests):
        tokens = [[ord(each) for each in request] for request in requests]
        return [self._loglikelihood_tokens(each) for each in tokens]

    def _loglikelihood_tokens(self, tokens):
        return sum(tokens)


def test_memory_is_that_from_the_first_scoring_on(monkeypatch):
    begun, lm, memory = [], Library(), FromFirst()
    monkeypatch.setattr(
        Memory, "after_loading", classmethod(lambda cls: begun.append(1) or cls(1.0, 2.0))
    )
    whole, scoring = evaluating._time_loop(lm, "loglikelihood", memory)
    assert not begun
    assert lm.loglikelihood(["ab", "c"]) == [195, 99]
    assert begun == [1]
    assert memory.found == Memory(1.0, 2.0)
    assert 0 < scoring.seconds < whole.seconds


def test_a_side_that_scored_nothing_has_no_memory():
    with pytest.raises(SystemExit, match="nothing was scored"):
        _ = FromFirst().found
