"""Packages are built once per content, by a child process, from safetensors only."""

import json
import pickle
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from quantgate.cases import BuildRecipe, Package
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.packages import build
from quantgate.packages.package import open_package

ROOT = Path(__file__).parents[2]

# Stands in for the model builder where its output doesn't matter: it writes the folder that it is
# told to, slowly enough that two runs overlap, and counts its runs.
BUILDER = """
import argparse, os, pathlib, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("-o"), parser.add_argument("-m"), parser.add_argument("-p")
arguments, _ = parser.parse_known_args()
source = pathlib.Path(arguments.m)
(source.parent / f"run-{os.getpid()}").touch()
if (source / "fail").exists():
    print("out of luck")
    sys.exit(3)
time.sleep(0.5)
if not (source / "nothing").exists():
    (pathlib.Path(arguments.o) / "genai_config.json").write_text(arguments.p)
"""


class Evil:
    """Unpickling it leaves a mark."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "config.json").write_text("{}", "utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def builder(tmp_path, monkeypatch) -> Path:
    """Put the stand-in in the builder's place; return the folder that it is in."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "standin_builder.py").write_text(BUILDER, "utf-8")
    monkeypatch.setattr(build, "BUILDER", "standin_builder")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def recipe(source: Path, precision: str = "int4", **options: str) -> BuildRecipe:
    return BuildRecipe(source, precision, extra_options=tuple(options.items()))


def runs(tmp_path: Path) -> int:
    return len(list(tmp_path.glob("run-*")))


def test_each_recipe_is_built_once(source, builder, tmp_path):
    packages = [Package(recipe=recipe(source, p)) for p in ("int4", "int4", "int8")]
    build.prepare(packages, tmp_path / "cache")
    build.prepare(packages, tmp_path / "cache")
    assert runs(tmp_path) == 2
    folders = [build.package_folder(p, tmp_path / "cache") for p in packages]
    assert [(f / "genai_config.json").read_text() for f in folders] == ["int4", "int4", "int8"]


def test_folder_is_named_by_content_and_not_by_place(source, tmp_path):
    before = build.recipe_digest(recipe(source))
    assert build.recipe_digest(recipe(source.rename(tmp_path / "moved"))) == before


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_folder_changes_with_every_file_read(source, name):
    before = build.recipe_digest(recipe(source))
    (source / name).write_text('{"changed": true}', "utf-8")
    assert build.recipe_digest(recipe(source)) != before


def test_folder_changes_with_the_recipe_and_the_versions(source, monkeypatch):
    digests = {
        build.recipe_digest(recipe(source)),
        build.recipe_digest(recipe(source, "int8")),
        build.recipe_digest(recipe(source, block_size="128")),
        build.recipe_digest(BuildRecipe(source, "int4", execution_provider="cuda")),
    }
    monkeypatch.setattr(build.metadata, "version", lambda _: "0.0.1")
    digests.add(build.recipe_digest(recipe(source)))
    assert len(digests) == 5


@pytest.mark.parametrize(("mark", "found"), [("fail", "out of luck"), ("nothing", "no genai_conf")])
def test_failed_build_leaves_nothing_and_says_why(source, builder, tmp_path, mark, found):
    (source / mark).touch()
    package = Package(recipe=recipe(source))
    with pytest.raises(InvalidMeasurement, match=found) as caught:
        build.prepare([package], tmp_path / "cache")
    assert caught.value.code == "build-failed"
    assert list((tmp_path / "cache" / "packages").iterdir()) == []


def test_build_without_end_is_stopped(source, builder, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "BUILD_SECONDS", 0.2)
    with pytest.raises(InvalidMeasurement, match="no end after") as caught:
        build.prepare([Package(recipe=recipe(source))], tmp_path / "cache")
    assert caught.value.code == "build-failed"


def test_working_folder_lends_the_builder_no_module(source, builder, tmp_path, monkeypatch):
    (tmp_path / "argparse.py").write_text("raise SystemExit('taken over')", "utf-8")
    monkeypatch.chdir(tmp_path)
    build.prepare([Package(recipe=recipe(source))], tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "packages").iterdir())) == 1


def test_fault_58_two_processes_build_one_package(source, builder, tmp_path):
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from quantgate.cases import BuildRecipe, Package
        from quantgate.packages import build
        build.BUILDER = "standin_builder"
        build.prepare([Package(recipe=BuildRecipe(Path(sys.argv[1]), "int4"))], Path(sys.argv[2]))
        """
    )
    command = [sys.executable, "-c", program, str(source), str(tmp_path / "cache")]
    children = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
    assert runs(tmp_path) == 2  # both built, or this test has shown nothing
    (folder,) = (tmp_path / "cache" / "packages").iterdir()
    assert (folder / "genai_config.json").read_text() == "int4"


def test_fault_14_pickled_weights_alone_are_refused(source):
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(UsageFault, match=r"pytorch_model\.bin") as caught:
        build.source_files(source)
    assert caught.value.code == "pickled-weights"


@pytest.mark.parametrize("suffix", sorted(build.PICKLED))
def test_fault_14_pickles_are_no_part_of_a_source(source, suffix):
    (source / f"side{suffix}").write_bytes(b"pickle")
    names = [path.name for path in build.source_files(source)]
    assert names == ["config.json", "model.safetensors"]


def test_fault_14_pickle_beside_a_package_is_never_opened(own_package, tmp_path):
    marker = tmp_path / "unpickled"
    sides = [own_package / f"side{suffix}" for suffix in (".bin", ".pt", ".pkl")]
    for side in sides:
        side.write_bytes(pickle.dumps(Evil(marker)))
    # An audit hook can't be removed again, so the package is scored in a process of its own.
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        opened = []
        def watch(event, arguments):
            if event == "open" and "side." in str(arguments[0]):
                opened.append(str(arguments[0]))
        sys.addaudithook(watch)
        from quantgate.packages.tokenizer import load_tokenizer
        from quantgate.plan import make_plan
        from quantgate.requests import Loglikelihood
        from tests.running import backend_of
        backend = backend_of(Path(sys.argv[1]))
        load_tokenizer(Path(sys.argv[1]))
        plan = make_plan([Loglikelihood((1, 2), (3,))], backend.limits)
        assert len(list(backend.score(next(plan.batches())))) == 1
        assert backend.identity["package"]
        print(opened)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(own_package)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip().splitlines()[-1] == "[]"
    assert not marker.exists()
    assert pickle.loads(sides[0].read_bytes()) is None  # the mark would have been left
    assert marker.exists()


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_source_that_is_no_model_is_named(source, missing):
    (source / missing).unlink()
    with pytest.raises(UsageFault) as caught:
        build.source_files(source)
    assert caught.value.code == "not-a-model"
    assert str(source) in caught.value.need


def test_real_builder_makes_packages_that_open(built):
    heads = {name: open_package(folder).config for name, folder in built.items()}
    assert {config.vocab_size for config in heads.values()} == {268}
    assert json.loads((built["int4"] / "genai_config.json").read_text("utf-8"))["model"]["decoder"]
    assert len({open_package(folder).digest for folder in built.values()}) == len(built)
    sizes = {name: (folder / "model.onnx.data").stat().st_size for name, folder in built.items()}
    assert sizes["int4"] < sizes["int8"] < sizes["fp32"]


# --- revisions on the hub -----------------------------------------------------------------------

REVISION = "0123456789" * 4
LOCATION = Package(hub=f"hub:org/tiny@{REVISION}")


@pytest.fixture
def hub_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub, in its own layout, and a network that would be noticed."""
    import huggingface_hub
    import huggingface_hub.file_download

    def reach_out(*_, **__):
        raise AssertionError("the network was used")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", reach_out)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "hub"


def write_snapshot(hub_cache: Path, tiny_folder: Path, kind: str = "models") -> Path:
    """A package as the hub's cache holds it: links into a folder of blobs."""
    repository = hub_cache / f"{kind}--org--tiny"
    snapshot = repository / "snapshots" / REVISION
    (repository / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(tiny_folder.iterdir())):
        blob = repository / "blobs" / f"{number:064x}"
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


def test_hub_revision_is_read_from_the_local_cache(hub_cache, tiny_folder, tmp_path):
    snapshot = write_snapshot(hub_cache, tiny_folder)
    folder = build.package_folder(LOCATION, tmp_path / "cache")
    assert folder == snapshot
    assert open_package(folder).digest == open_package(tiny_folder).digest
    build.prepare([LOCATION], tmp_path / "cache")
    assert not (tmp_path / "cache").exists(), "nothing is built or copied"


@pytest.mark.parametrize("kind", [None, "datasets"])
def test_fault_74_revision_that_is_not_there_is_refused_offline(
    hub_cache, tiny_folder, tmp_path, kind
):
    if kind:  # another repository of the same name
        write_snapshot(hub_cache, tiny_folder, kind)
    with pytest.raises(UsageFault) as caught:
        build.package_folder(LOCATION, tmp_path / "cache")
    assert caught.value.code == "hub-unavailable"
    assert REVISION in caught.value.need
    assert "HF_HUB_OFFLINE=0" in caught.value.fix


def test_fault_74_another_revision_is_not_taken_for_it(hub_cache, tiny_folder, tmp_path):
    write_snapshot(hub_cache, tiny_folder)
    with pytest.raises(UsageFault, match="hub-unavailable"):
        build.package_folder(Package(hub=f"hub:org/tiny@{'f' * 40}"), tmp_path / "cache")


@pytest.mark.parametrize("revision", ["main", REVISION[:7], ""])
def test_fault_74_branches_and_short_commits_are_refused(tmp_path, revision):
    with pytest.raises(UsageFault, match="hub-location"):
        build.package_folder(Package(hub=f"hub:org/tiny@{revision}"), tmp_path)
