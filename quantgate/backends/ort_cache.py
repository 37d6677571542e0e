"""A KV cache in one buffer: a run reads its past from it and writes its present behind that.

Where each run has a past and a present of its own, ONNX Runtime copies the one into the other
before it appends, and both take memory.
"""

from __future__ import annotations

from typing import Any

from quantgate.backends.feeds import BodyInputs, Feed

# Buffers are made this much longer than asked, or up to it, so that rows a little longer than all
# before don't cost a new buffer, and their prefix a second run.
STEP_TOKENS = 256


class SharedCache:
    """The cache of one sequence on one session.

    Which tokens of it are read, a run's own lengths say. Several runs may follow the same tokens:
    each writes behind them, over what the run before it left there.

    Args:
        session: of a graph whose pasts and presents may be the same memory.
        inputs: builds its feeds.
        output: what the graph yields beside its cache.
        tokens: there is room for at least as many.

    Attributes:
        tokens: there is room for.
        past: the buffers, by past input.
    """

    def __init__(self, session: Any, inputs: BodyInputs, output: str, tokens: int) -> None:
        self.tokens = -(-tokens // STEP_TOKENS) * STEP_TOKENS
        self.past: dict[str, Any] = inputs.room(self.tokens)
        self._output = output
        self._session = session
        self._binding = session.io_binding()
        self._renew_output()  # the first of the outputs
        for past, present in zip(inputs.past_names, inputs.present_names, strict=True):
            self._binding.bind_ortvalue_input(past, self.past[past])
            self._binding.bind_ortvalue_output(present, self.past[past])

    def run(self, feed: Feed) -> Any:
        """The output as an OrtValue; the cache then holds the feed's tokens, too."""
        for name, value in feed.items():
            if name not in self.past:
                self._binding.bind_ortvalue_input(name, value)
        self._renew_output()
        self._session.run_with_iobinding(self._binding)
        return self._binding.get_outputs()[0]

    def follows(self, feed: Feed) -> bool:
        """Whether the feed's tokens come behind this cache."""
        return all(feed.get(name) is value for name, value in self.past.items())

    def _renew_output(self) -> None:
        """Ask for new memory: a bound output keeps that of its last run, whatever the shape."""
        self._binding.bind_output(self._output)
