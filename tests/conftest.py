"""Packages and corpora that many tests read; each is made once a session and never changed."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from quantgate.cases import BuildRecipe, Package
from quantgate.corpora import Corpora
from quantgate.measure import Measurer
from quantgate.packages.build import package_folder, prepare
from tests.command_line import Workspace
from tests.generating import load_generation_manifest
from tests.running import evaluator_in
from tests.tiny_corpora import write_mmlu, write_text
from tests.tiny_models import Tiny, write_package, write_tokenizer

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Shared machines make any deadline a matter of luck, and a gate's own tests may not be.
settings.register_profile("steady", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("steady")

PRECISIONS = ("fp32", "int8", "int4", "fp16")
CONTEXT = 1024


@pytest.fixture
def interruptible():
    """Let SIGINT interrupt this process and the ones it starts, even where it came in ignored.

    Shells ignore it for what they run in the background.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A float32 package with a plain head."""
    return write_package(tmp_path_factory.mktemp("tiny"), Tiny(context=CONTEXT))


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory) -> Path:
    """The same decoder with another head, so that the two diverge."""
    return write_package(tmp_path_factory.mktemp("other"), Tiny(head="nbits", context=CONTEXT))


@pytest.fixture
def own_package(tiny_folder, tmp_path) -> Path:
    """A copy of the plain package that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "package"))


@pytest.fixture(scope="session")
def mmlu_folder(tmp_path_factory) -> Path:
    """Three subjects of eight questions."""
    return write_mmlu(tmp_path_factory.mktemp("mmlu"))


@pytest.fixture(scope="session")
def text_file(tmp_path_factory) -> Path:
    """About three thousand tokens of text."""
    return write_text(tmp_path_factory.mktemp("text") / "text.txt")


@pytest.fixture(scope="session")
def hugging_face_folder(tmp_path_factory) -> Path:
    """A random Llama as `save_pretrained` leaves it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("hugging_face")
    tokenizer = write_tokenizer(folder)
    size = tokenizer.get_vocab_size()
    config = LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=size,
        max_position_embeddings=CONTEXT,
        bos_token_id=size - 2,
        eos_token_id=size - 1,
        tie_word_embeddings=False,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="session")
def built_packages(hugging_face_folder, tmp_path_factory) -> dict[str, Package]:
    """What the real model builder made of the random Llama, by precision.

    Packages are addressed by content, so QUANTGATE_TEST_CACHE may name a folder that outlives the
    session and saves the builds.
    """
    kept = os.environ.get("QUANTGATE_TEST_CACHE")
    cache = Path(kept) if kept else tmp_path_factory.mktemp("cache")
    packages = {
        precision: Package(recipe=BuildRecipe(source=hugging_face_folder, precision=precision))
        for precision in PRECISIONS
    }
    prepare(packages.values(), cache)
    return {name: Package(path=package_folder(p, cache)) for name, p in packages.items()}


@pytest.fixture(scope="session")
def built(built_packages) -> dict[str, Path]:
    """Folders of `built_packages`."""
    return {name: package.path for name, package in built_packages.items()}


@pytest.fixture(scope="session")
def generation_manifest(tmp_path_factory, mmlu_folder, text_file, tiny_folder, other_folder):
    """Two variants that generate: the reference itself, and one with another head."""
    return load_generation_manifest(
        tmp_path_factory.mktemp("generation"),
        mmlu=mmlu_folder,
        text=text_file,
        reference=tiny_folder,
        other=other_folder,
    )


@pytest.fixture(scope="session")
def generation_cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("generation-cache")


@pytest.fixture(scope="session")
def generated(generation_manifest, generation_cache):
    """The measurements of these variants' answers, by name."""
    manifest, evaluator = generation_manifest, evaluator_in(generation_cache)
    measurer = Measurer(manifest, Corpora(manifest), evaluator)
    cases = [case for case in manifest.cases() if case.reference]
    return {case.variant: measurer.measure(case, "generation") for case in cases}


@pytest.fixture(scope="session")
def gate_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("gate-cache")


@pytest.fixture
def workspace(tmp_path, built, mmlu_folder, text_file, gate_cache):
    """A folder with a manifest for two real packages."""
    return Workspace(
        tmp_path / "workspace",
        reference=built["fp32"],
        candidate=built["int4"],
        mmlu=mmlu_folder,
        text=text_file,
        cache=gate_cache,
    )


@pytest.fixture(scope="session")
def stored(tmp_path_factory, built, mmlu_folder, text_file, gate_cache):
    """A workspace with baselines, and the outcome of storing them; copy it before changing it."""
    first = Workspace(
        tmp_path_factory.mktemp("stored") / "workspace",
        reference=built["fp32"],
        candidate=built["int4"],
        mmlu=mmlu_folder,
        text=text_file,
        cache=gate_cache,
    )
    return first, first.store_baselines()


@pytest.fixture
def gated(workspace, stored):
    """A workspace of one's own with the stored baselines."""
    shutil.copytree(stored[0].folder / "baselines", workspace.folder / "baselines")
    return workspace
