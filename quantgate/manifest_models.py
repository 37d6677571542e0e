"""The tables of `quantgate.toml` for models, variants and policies, and the whole document."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from quantgate.manifest_tables import (
    Backend,
    BackendOptions,
    Data,
    Name,
    Runtime,
    Table,
    Tasks,
    distinct,
)
from quantgate.results import Tolerance


class ToleranceTable(Table):
    """`{absolute = x}` in the metric's unit, or `{relative = x}` as a fraction.

    The bounds are generous, but a tolerance of 1e9 is a gate that has been switched off.
    """

    absolute: float | None = Field(default=None, ge=0, le=1000, allow_inf_nan=False)
    relative: float | None = Field(default=None, ge=0, le=10, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_kind(self) -> ToleranceTable:
        if (self.absolute is None) == (self.relative is None):
            raise PydanticCustomError(
                "tolerance-kind", "a tolerance should have exactly one of `absolute`, `relative`"
            )
        return self

    def tolerance(self) -> Tolerance:
        """Return the noun the gate decides with."""
        if self.absolute is not None:
            return Tolerance(kind="absolute", value=self.absolute)
        assert self.relative is not None  # noqa: S101 - `_one_kind` saw to it
        return Tolerance(kind="relative", value=self.relative)


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

    def metrics(self, suite: str) -> dict[str, MetricPolicy]:
        """Return the policies of a suite by metric; KeyError where there is no such suite."""
        if suite not in Policy.model_fields:
            raise KeyError(f"no suite {suite!r}: {list(Policy.model_fields)}")
        metrics: dict[str, MetricPolicy] = getattr(self, suite)
        return metrics


class Build(Table):
    """A recipe for onnxruntime-genai's model builder; `source` is `embedded` or a folder."""

    source: str = Field(min_length=1)
    precision: Name
    execution_provider: Name = "cpu"
    extra_options: dict[str, str | int | float | bool] = Field(default_factory=dict)


class VariantTable(Table):
    """`[models.reference]` or one of `[[models.variants]]`."""

    name: Name
    precision: Name
    path: Annotated[str, Field(min_length=1)] | None = None
    build: Build | None = None
    backends: tuple[Backend, ...] = Field(default=("ort",), min_length=1)
    providers: tuple[Name, ...] = Field(default=("cpu",), min_length=1)
    options: BackendOptions = BackendOptions()
    policy: Policy = Policy()

    _once = field_validator("backends", "providers")(distinct)

    @model_validator(mode="after")
    def _one_origin(self) -> VariantTable:
        if (self.path is None) == (self.build is None):
            raise PydanticCustomError(
                "variant-origin", "a variant should have exactly one of `path`, `build`"
            )
        return self


class ModelTable(Table):
    """One of `[[models]]`: a reference, and the variants that are held against it."""

    name: Name
    reference: VariantTable | None = None
    variants: tuple[VariantTable, ...] = ()

    @property
    def all_variants(self) -> tuple[VariantTable, ...]:
        """The reference, if there is one, and then the variants."""
        return (() if self.reference is None else (self.reference,)) + self.variants

    @field_validator("variants")
    @classmethod
    def _names_once(
        cls, variants: tuple[VariantTable, ...], info: ValidationInfo
    ) -> tuple[VariantTable, ...]:
        reference = info.data.get("reference")
        names = [v.name for v in variants] + ([reference.name] if reference else [])
        if len(set(names)) < len(names):
            raise PydanticCustomError(
                "manifest-duplicate",
                "the names of a model's reference and variants should differ",
            )
        return variants


class Document(Table):
    """A whole `quantgate.toml`."""

    schema_version: Literal[1]
    data: Data = Data()
    runtime: Runtime = Runtime()
    tasks: Tasks = Tasks()
    policy: Policy = Policy()
    models: tuple[ModelTable, ...] = ()

    @field_validator("models")
    @classmethod
    def _models_once(cls, models: tuple[ModelTable, ...]) -> tuple[ModelTable, ...]:
        if len({m.name for m in models}) < len(models):
            raise PydanticCustomError("manifest-duplicate", "the names of models should differ")
        return models
