"""The tables of `quantgate.toml` for data, runtime and tasks, as strict and frozen schemas.

Every table refuses keys it doesn't know and values of another type, so that a slip of the pen
can't turn a gate off. Lists become tuples before they get here (`quantgate.manifest.manifest`).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

# Names become file and folder names, so unlike `cases.SLUG` they may not begin with a full stop:
# a model called `..` would put its baselines outside their folder.
NAME: Final = re.compile(r"[a-z0-9_][a-z0-9_.]*")

Name = Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=1)]
EMBEDDED: Final = "embedded"
Backend = Literal["ort", "ortgenai", "torch"]
Protocol = Literal["strided", "genai_chunked", "disjoint", "rolling"]


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list with an entry that is listed twice."""
    if len(set(values)) < len(values):
        raise PydanticCustomError("manifest-duplicate", "each entry may be listed only once")
    return values


class Table(BaseModel):
    """What all tables share: frozen, strict, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class Data(Table):
    """`[data]`: where questions and text come from, and the SHA-256 their files must have.

    A location is `embedded`, `hub:<dataset id>[:<config>[:<split>]]@<commit>` or a path relative to
    the manifest's folder. `text_format` is that of `text`: `wikitext` has an article a document
    for the protocol `rolling`, `paragraphs` one document in all.
    """

    mmlu: str = Field(default="embedded", min_length=1)
    text: str = Field(default="embedded", min_length=1)
    mmlu_sha256: Digest | None = None
    text_sha256: Digest | None = None
    text_format: Literal["paragraphs", "wikitext"] = "paragraphs"


class OrtOptions(Table):
    """Options of the backend `ort`.

    `accuracy_level` rewrites that of 4-bit products: 0 computes in float32, 4 rounds activations
    to int8.
    """

    packing: bool = True
    accuracy_level: int | None = Field(default=None, ge=0, le=4)
    session_options: dict[str, str] = Field(default_factory=dict)
    provider_options: dict[str, str] = Field(default_factory=dict)


class OrtGenaiOptions(Table):
    """Options of the backend `ortgenai`: none so far."""


class TorchOptions(Table):
    """Options of the backend `torch`; `dtype` is the precision's unless it is given."""

    packing: bool = True
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device_map: str | None = None
    trust_remote_code: bool = False


class BackendOptions(Table):
    """Options by backend; a variant's stand before those of `[runtime]`."""

    ort: OrtOptions = OrtOptions()
    ortgenai: OrtGenaiOptions = OrtGenaiOptions()
    torch: TorchOptions = TorchOptions()

    def given(self, backend: str) -> dict[str, Any]:
        """The options of a backend that were written down."""
        table: Table = getattr(self, backend)
        return table.model_dump(mode="json", exclude_unset=True)


class Runtime(Table):
    """`[runtime]`: how models are run.

    `threads` per loaded model, 0 lets the backend choose; `batch_seconds` bounds one batch and the
    opening of a model, `session_seconds` all of a model's work and `memory_mib` its resident
    memory, where 0 sets no bound.
    """

    threads: int = Field(default=0, ge=0)
    batch_seconds: float = Field(default=1800.0, ge=0)
    session_seconds: float = Field(default=0.0, ge=0)
    memory_mib: int = Field(default=0, ge=0)
    options: BackendOptions = BackendOptions()


class MmluTask(Table):
    """`[tasks.mmlu]`: prompt, decision and selection; `limit` counts questions per subject."""

    template: Literal["hendrycks", "lm_eval", "mmlu_pro"] = "hendrycks"
    shots: int = Field(default=5, ge=0, le=5)
    decision: Literal["loglikelihood", "greedy"] = "loglikelihood"
    overflow: Literal["error", "drop_shots", "exclude"] = "error"
    subjects: tuple[str, ...] = ()
    limit: Count | None = None
    degenerate: Literal["fail", "warn"] = "fail"

    _subjects_once = field_validator("subjects")(distinct)


class PerplexityTask(Table):
    """`[tasks.perplexity]`: windows and strides in tokens.

    `max_tokens` cuts the tail of the one text; `rolling`, which counts the words and bytes of whole
    documents, scores the first `max_documents` instead.
    """

    protocols: tuple[Protocol, ...] = Field(default=("strided", "genai_chunked"), min_length=1)
    window: int = Field(default=1024, ge=2)
    stride: int = 512
    max_tokens: int | None = None
    max_documents: Count | None = None

    _protocols_once = field_validator("protocols")(distinct)

    @field_validator("stride")
    @classmethod
    def _no_gaps(cls, stride: int, info: ValidationInfo) -> int:
        # A window that failed is absent here and has been reported for itself.
        window = info.data.get("window", stride + 1)
        if not 0 < stride < window:
            raise PydanticCustomError(
                "window-stride",
                "the stride should be from 1 and shorter than the window, {window} tokens: nothing "
                "else predicts a window's first token",
                {"window": window},
            )
        return stride

    @field_validator("max_tokens")
    @classmethod
    def _one_window(cls, max_tokens: int | None, info: ValidationInfo) -> int | None:
        window = info.data.get("window", 1)
        if max_tokens is not None and max_tokens < window:
            raise PydanticCustomError(
                "text-too-short",
                "max_tokens should leave at least one window, {window} tokens",
                {"window": window},
            )
        return max_tokens


class KlDivergenceTask(Table):
    """`[tasks.kl_divergence]`: the length of the disjoint windows, in tokens."""

    window: int = Field(default=1024, ge=2)


class AgreementTable(Table):
    """`[tasks.agreement]`: the engines compared, and the probe they are asked.

    `questions` in all, the first of each subject, and a window of `tokens`.
    """

    backends: tuple[Backend, ...] = ("torch", "ort", "ortgenai")
    questions: Count = 16
    tokens: int = Field(default=512, ge=2)

    _backends_once = field_validator("backends")(distinct)


class SpeedTask(Table):
    """`[tasks.speed]`: one prompt, what follows it, and prompts that are only read.

    Lengths in tokens; those of `prefill` that exceed a model's context are left out.
    """

    prompt: Count = 128
    new_tokens: int = Field(default=256, ge=2)
    prefill: tuple[Count, ...] = (128, 512, 2048)
    rounds: int = Field(default=9, ge=5)

    _prefill_once = field_validator("prefill")(distinct)


class MemoryTask(Table):
    """`[tasks.memory]`: the generation during which memory is watched; lengths in tokens."""

    prompt: Count = 128
    new_tokens: Count = 256


class GenerationTable(Table):
    """`[tasks.generation]`: what is generated behind, and how far.

    `texts` passages of `prompt_tokens`, `questions` behind their shots and `dialogs` of two; an
    answer has at most `new_tokens`, and one to a question ends before any string of `stop`.
    """

    texts: int = Field(default=16, ge=0)
    questions: int = Field(default=8, ge=0)
    dialogs: int = Field(default=4, ge=0)
    prompt_tokens: Count = 64
    new_tokens: Count = 64
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ("\n",)

    _stop_once = field_validator("stop")(distinct)

    @model_validator(mode="after")
    def _something(self) -> GenerationTable:
        if not self.texts + self.questions + self.dialogs:
            raise PydanticCustomError(
                "generation-empty", "one of texts, questions and dialogs should be above 0"
            )
        return self


class Tasks(Table):
    """`[tasks]`: one table per suite."""

    mmlu: MmluTask = MmluTask()
    perplexity: PerplexityTask = PerplexityTask()
    kl_divergence: KlDivergenceTask = KlDivergenceTask()
    agreement: AgreementTable = AgreementTable()
    generation: GenerationTable = GenerationTable()
    speed: SpeedTask = SpeedTask()
    memory: MemoryTask = MemoryTask()
