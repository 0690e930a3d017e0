"""Models by their names on the hub, read from a cache as the hub's client lays it out."""

import json
import os

import huggingface_hub.constants
import pytest
import torch

from experiments.finetuning.encoders import load_classifier, load_config, load_tokenizer
from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import at_revision
from experiments.finetuning.sources import architecture, identify_model

NEWEST, OLDER = "a" * 40, "b" * 40  # commits


@pytest.fixture
def cached_model(tiny_model, tmp_path, monkeypatch):
    """nobody/tiny in the cache: two revisions, whose configurations differ in the spread of new
    weights."""
    folder = tmp_path / "models--nobody--tiny"
    for commit, branch, spread in ((NEWEST, "main", 0.02), (OLDER, "v1", 0.5)):
        snapshot = folder / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for path in tiny_model.iterdir():
            os.symlink(path, snapshot / path.name)
        (snapshot / "config.json").unlink()
        config = json.loads((tiny_model / "config.json").read_text())
        (snapshot / "config.json").write_text(json.dumps({**config, "initializer_range": spread}))
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / branch).write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return "nobody/tiny"


def test_a_revision_of_a_model_on_the_hub(cached_model, tiny_run):
    """A branch or a commit; what is drawn anew takes its spread from that revision's
    configuration; runs of it have another id."""
    assert (
        load_config(cached_model).initializer_range
        == load_config(f"{cached_model}@{NEWEST}").initializer_range
        == 0.02
    )
    runs = [
        tiny_run(model=identify_model(source), model_source=source)
        for source in (cached_model, f"{cached_model}@v1")
    ]
    newest, older = (load_classifier(run, 2)[0].classifier.weight for run in runs)
    torch.testing.assert_close(older, 25 * newest)
    assert runs[0].id != runs[1].id
    assert architecture(f"{cached_model}@{OLDER}") == ("bert", 2)
    assert len(load_tokenizer(f"{cached_model}@v1")) == len(load_tokenizer(cached_model))


def test_a_revision_that_is_not_there(cached_model):
    assert identify_model(f"{cached_model}@refs/pr/1") == f"{cached_model}@refs/pr/1"
    with pytest.raises(BadInput, match="cannot load the model nobody/tiny@v2"):
        load_config(f"{cached_model}@v2")


def test_a_folder_has_no_revisions(tmp_path, monkeypatch):
    """What follows the @ would be ignored, and the run named after it; a folder with an @ in its
    name is one."""
    monkeypatch.chdir(tmp_path)
    for name in ("checkpoint", "at@home"):
        (tmp_path / name).mkdir()
    for source in ("checkpoint@v1", "nobody/tiny@"):
        with pytest.raises(BadInput, match=f"no folder {source}"):
            identify_model(source)
    assert at_revision("at@home") == ("at@home", None)
