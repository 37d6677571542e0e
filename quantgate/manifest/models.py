"""The tables of `quantgate.toml` for models and variants, and the whole document."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from quantgate.manifest.policy import Policy
from quantgate.manifest.tables import (
    Backend,
    BackendOptions,
    Data,
    Name,
    Runtime,
    Table,
    Tasks,
    distinct,
)


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
