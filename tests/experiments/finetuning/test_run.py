"""The id of a run and the store of finished runs."""

import dataclasses
import hashlib
import json

import pytest
from builders import a_result

from experiments.finetuning import files, run
from experiments.finetuning.errors import BadInput
from experiments.finetuning.run import Run
from experiments.sweeps import store

RUN = Run("m", "d", "rte", learning_rate=2e-5, bias_correction=False)
RESULT = a_result()


def test_id_depends_on_what_changes_the_result_and_on_nothing_else():
    other_values = {str: "x", float: 0.123, int: 99, type(None): 7}
    for field in dataclasses.fields(Run):
        value = getattr(RUN, field.name)
        other = (not value) if isinstance(value, bool) else other_values[type(value)]
        changed = dataclasses.replace(RUN, **{field.name: other})
        assert (changed.id != RUN.id) == field.metadata.get("changes_result", True), field.name
    assert len(RUN.id) == 16 and set(RUN.id) <= set("0123456789abcdef")


def test_a_new_field_or_a_new_order_changes_no_id():
    """What is at its default does not enter: the hash of schema and four names, computed here
    from the definition."""
    named = {
        "model": "m",
        "data": "d",
        "task": "rte",
        "learning_rate": 2e-5,
        "bias_correction": False,
    }
    assert (
        RUN.id
        == hashlib.sha256(json.dumps([run.SCHEMA, named], sort_keys=True).encode()).hexdigest()[:16]
    )
    assert dataclasses.replace(RUN, epochs=3).id == RUN.id


def test_saved_and_loaded(tmp_path):
    assert store.load(tmp_path, RUN) is None
    store.save(tmp_path, RUN, RESULT)
    assert store.load(tmp_path, RUN)["outcome"] == RESULT["outcome"]
    # no temporary file is left
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [f"{RUN.id}.json"]


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", '{"schema": 0}', "null", "other run", "no score", "no margins", "cut short"],
)
def test_a_damaged_file_is_set_aside_and_never_trusted(tmp_path, damage, capsys):
    store.save(tmp_path, RUN, RESULT)
    path = tmp_path / "runs" / f"{RUN.id}.json"
    record = json.loads(path.read_text())
    if damage == "other run":
        record["run"]["head_seed"] = 7
        damage = json.dumps(record)
    elif damage == "no score":
        del record["outcome"]["score"]
        damage = json.dumps(record)
    elif damage == "no margins":
        del record["history"]["dev_margins"]
        damage = json.dumps(record)
    elif damage == "cut short":
        record["history"]["evaluations"] = []
        damage = json.dumps(record)
    path.write_text(damage)
    assert store.load(tmp_path, RUN) is None
    assert "set aside" in capsys.readouterr().err
    assert not path.exists()
    assert path.with_suffix(".set-aside").read_text() == damage


def test_without_renaming_a_damaged_file_is_only_said(tmp_path, capsys):
    path = tmp_path / "runs" / f"{RUN.id}.json"
    path.parent.mkdir()
    path.write_text("{")
    assert store.load(tmp_path, RUN, rename=False) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {path} does not count, because it cannot be read")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_record_of_a_newer_version_is_left_alone(tmp_path, capsys):
    """Training would write over what a newer checkout needs."""
    path = tmp_path / "runs" / f"{RUN.id}.json"
    path.parent.mkdir()
    path.write_text(content := json.dumps({"schema": 99, "of": "another layout"}))
    assert store.load(tmp_path, RUN, rename=False) is None
    (line,) = capsys.readouterr().err.splitlines()
    said = "is of another version of this code (its schema is 99, here it is 4)"
    assert line == f"warning: {path} {said}, and is left alone"
    with pytest.raises(BadInput, match=r"left alone: expected a store of this version"):
        store.load(tmp_path, RUN)
    assert path.read_text() == content and list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_content(tmp_path):
    path = tmp_path / "file"
    files.write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write_atomically(path, "\ud800")  # cannot be written as UTF-8: fails in the middle
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_run_is_called_by_its_seed_or_by_the_three(tiny_run):
    assert tiny_run(head_seed=4, order_seed=4, dropout_seed=4).seed == 4
    assert tiny_run(head_seed=4, order_seed=1, dropout_seed=4).seed == "4/1/4"
