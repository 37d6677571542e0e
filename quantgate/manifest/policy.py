"""The tables of `quantgate.toml` for policies: how much worse a figure may get."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Final

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from quantgate.baselines.schema import LARGEST_TOLERANCE
from quantgate.gate.scales import PAIRED
from quantgate.gate.tolerances import ABSOLUTE, RATIO, RELATIVE, SIGNIFICANT, THREE_STATE
from quantgate.manifest.tables import Name, Table
from quantgate.results import Tolerance

# Presets users know: MLPerf's shares of the reference's accuracy, and winml's pass / at risk.
PRESETS: Final = MappingProxyType(
    {
        "mlperf99": {RATIO: 0.99},
        "mlperf999": {RATIO: 0.999},
        "relative_5_10": {THREE_STATE: (0.05, 0.10)},
    }
)
Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ToleranceTable(Table):
    """A table of one key, which names the kind, or a preset's name.

    `{absolute = x}` in the metric's unit, `{relative = x}` as a fraction, `{ratio_to_reference =
    x}` as the share that must remain, `{significant_drop = x}` for the confidence bound, in the
    metric's unit or, of a perplexity, in nats, and `{three_state = [x, y]}` as fractions: up to x a
    pass, up to y a pass at risk.

    The bounds are generous, but a tolerance of 1e9 is a gate that has been switched off.
    """

    absolute: Size | None = Field(default=None, le=LARGEST_TOLERANCE[ABSOLUTE])
    relative: Size | None = Field(default=None, le=LARGEST_TOLERANCE[RELATIVE])
    ratio_to_reference: Size | None = Field(default=None, gt=0, le=LARGEST_TOLERANCE[RATIO])
    significant_drop: Size | None = Field(default=None, le=LARGEST_TOLERANCE[SIGNIFICANT])
    three_state: tuple[Size, Size] | None = None

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        if given not in PRESETS:
            raise PydanticCustomError(
                "tolerance-preset",
                "a tolerance should be a table such as { absolute = 0.01 }, or one of {presets}",
                {"presets": ", ".join(PRESETS)},
            )
        return PRESETS[given]

    @field_validator("three_state")
    @classmethod
    def _rising(cls, pair: tuple[float, float] | None) -> tuple[float, float] | None:
        if pair is not None and not pair[0] < pair[1] <= LARGEST_TOLERANCE[THREE_STATE]:
            raise PydanticCustomError(
                "tolerance-order",
                "the bound of a pass should be below that of a pass at risk, at most {largest}",
                {"largest": f"{LARGEST_TOLERANCE[THREE_STATE]:g}"},
            )
        return pair

    @model_validator(mode="after")
    def _one_kind(self) -> ToleranceTable:
        if len(self._given()) != 1:
            raise PydanticCustomError(
                "tolerance-kind",
                "a tolerance should have exactly one of {kinds}",
                {"kinds": ", ".join(f"`{kind}`" for kind in type(self).model_fields)},
            )
        return self

    def _given(self) -> dict[str, float | tuple[float, float]]:
        return self.model_dump(exclude_none=True)

    def tolerance(self) -> Tolerance:
        """Return the noun the gate decides with."""
        ((kind, size),) = self._given().items()
        if isinstance(size, tuple):
            return Tolerance(kind=kind, value=size[0], at_risk=size[1])
        return Tolerance(kind=kind, value=size)


class MetricPolicy(Table):
    """How much worse a metric may get than its baseline, and than the reference."""

    baseline: ToleranceTable | None = None
    reference: ToleranceTable | None = None


class Policy(Table):
    """`[policy]`: a table of metrics for each suite."""

    mmlu: dict[Name, MetricPolicy] = Field(default_factory=dict)
    perplexity: dict[Name, MetricPolicy] = Field(default_factory=dict)
    kl_divergence: dict[Name, MetricPolicy] = Field(default_factory=dict)
    agreement: dict[Name, MetricPolicy] = Field(default_factory=dict)
    generation: dict[Name, MetricPolicy] = Field(default_factory=dict)
    speed: dict[Name, MetricPolicy] = Field(default_factory=dict)
    memory: dict[Name, MetricPolicy] = Field(default_factory=dict)

    @field_validator(
        "mmlu", "perplexity", "kl_divergence", "agreement", "generation", "speed", "memory"
    )
    @classmethod
    def _drops_have_items(
        cls, metrics: dict[str, MetricPolicy], info: ValidationInfo
    ) -> dict[str, MetricPolicy]:
        paired = PAIRED.get(str(info.field_name), {})
        wrong = [
            InitErrorDetails(
                type=PydanticCustomError(
                    "tolerance-items",
                    "a significant drop should be of a metric whose items are kept ({paired})",
                    {"paired": ", ".join(paired) or "none of this suite"},
                ),
                loc=(metric, side),
                input=SIGNIFICANT,
            )
            for metric, policy in metrics.items()
            for side, table in (("baseline", policy.baseline), ("reference", policy.reference))
            if table is not None and table.significant_drop is not None and metric not in paired
        ]
        if wrong:
            raise ValidationError.from_exception_data("Policy", wrong)
        return metrics

    def metrics(self, suite: str) -> dict[str, MetricPolicy]:
        """Return the policies of a suite by metric; KeyError where there is no such suite."""
        if suite not in Policy.model_fields:
            raise KeyError(f"no suite {suite!r}: {list(Policy.model_fields)}")
        metrics: dict[str, MetricPolicy] = getattr(self, suite)
        return metrics
