"""Models and data sets by their names on a hub of our own: the clients' real code, a cold cache,
and everything that can be wrong with them. A case is what a person asks for and sees."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import stand_ins
import torch
from conftest import REPOSITORY
from hub import Hub
from safetensors.torch import load, save

LARGE_FILE = 24 * 2**20  # the client takes 10 MiB at a time, and only these count as received
LONGEST_S = 30  # no case may make a person wait longer: 0.1 to 6 where nothing else runs


class Client:
    """A process that uses a hub, with a cache."""

    def __init__(self, hub: Hub, cache: Path, results: Path, **environment: str) -> None:
        self.results = results
        self.process = subprocess.Popen(
            [sys.executable, REPOSITORY / "tests" / "hub_client.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean(hub, cache) | environment,
        )

    def __call__(self, do: str, *arguments: str) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        if do in ("plan", "inspect", "train", "forgetting"):
            arguments = (*ONE_RUN, "--results", str(self.results), *arguments)
        print(json.dumps({"do": do, "arguments": arguments}), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()  # it has nothing to finish, and torch takes seconds to go
        self.process.communicate()


def clean(hub: Hub, cache: Path) -> dict[str, str]:
    """An environment in which nothing is known of any hub but this one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    path = f"{REPOSITORY}:{REPOSITORY / 'tests'}"
    return kept | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(cache), "PYTHONPATH": path}


ONE_RUN = ["--profile", "small", "--tasks", "rte", "--epochs", "1", "--seeds", "1"]
ONE_RUN += ["--learning-rates", "1e-4", "--bias-correction", "on", "--engine", "serial"]
BERT, ROBERTA = "google-bert/bert-large-uncased", "FacebookAI/roberta-large"
ALBERT, GTE = "albert/albert-large-v2", "thenlper/gte-small"


@pytest.fixture(scope="module")
def hub():
    hub = Hub()
    hub.model(BERT).push(stand_ins.bert_large())
    hub.model(ROBERTA).push(stand_ins.roberta_large())
    hub.model(ALBERT).push(stand_ins.albert_large())
    hub.model(GTE).push(stand_ins.gte_small())
    hub.data("nyu-mll/glue").push(stand_ins.glue())
    hub.data("allenai/scitail").push(stand_ins.scitail())
    hub.data("Salesforce/wikitext").push(stand_ins.wikitext())
    with hub.running():
        yield hub


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def client(hub, folder):
    client = Client(hub, folder / "cache", folder / "results", HF_HUB_ETAG_TIMEOUT="6")
    yield client
    client.close()


@pytest.fixture(scope="module")
def gte(hub):
    return hub.model(GTE).commits[hub.model(GTE).branches["main"]]


@pytest.fixture(scope="module")
def bert(hub):
    return hub.model(BERT).commits[hub.model(BERT).branches["main"]]


def refused(seen: dict[str, Any], *words: str) -> None:
    """One line, status 2, at once."""
    assert seen["status"] == 2, seen
    lines = seen["err"].strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), seen["err"]
    assert seen["seconds"] < LONGEST_S
    for word in words:
        assert word in lines[0], f"{word!r} is not in {lines[0]!r}"


def loaded(seen: dict[str, Any]) -> dict[str, Any]:
    """What one model holds."""
    assert seen["status"] == 0 and not seen["err"], seen
    (found,) = seen["result"]
    return found


def sums(files: stand_ins.Files) -> dict[str, float]:
    """Of each tensor in a checkpoint the sum of absolute values, by the names of today."""
    found = {}
    for name, content in files.items():
        if name.endswith(".safetensors"):
            for tensor, value in load(content).items():
                tensor = tensor.replace("gamma", "weight").replace("beta", "bias")
                found[tensor.removeprefix("bert.")] = float(value.double().abs().sum())
    return found


def holds(found: dict[str, Any], files: stand_ins.Files) -> None:
    """The encoder's weights are those in the files."""
    held = {name.removeprefix("bert."): value for name, value in found["weights"].items()}
    expected = {name: value for name, value in sums(files).items() if name in held}
    assert len(expected) > 30
    assert {name: held[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    rest = held.keys() - expected.keys()
    assert rest == {name.removeprefix("bert.") for name in found["drawn"]}


# ------------------------------------------------------------------------- what has to be refused


def without(*names: str):
    return lambda files: {name: files[name] for name in files if name not in names}


def only_pickled(files):
    return {**without("model.safetensors")(files), "pytorch_model.bin": b"PK" * 50}


def with_adapter(files):
    return {**files, "adapter_config.json": b"{}", "adapter_model.safetensors": b"x"}


def one_shard_missing(files):
    shards = stand_ins.gte_small(max_shard_size="10KB")
    return without("model-00002-of-00002.safetensors")(shards)


TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")
MODELS: dict[str, tuple[Any, str, list[str]]] = {
    # case: what is done to the files, the hub's trouble, what the person reads
    "gated": (None, "GatedRepo", ["it is gated; ask for access at http", "HF_TOKEN", "--model"]),
    "gated-to-me": (None, "GatedRepo, logged in", ["it is gated; ask for access"]),
    "wrong-token": (None, "BadToken", ["does not know the token", "another HF_TOKEN"]),
    "rate-limit": (None, "RateLimit", ["limits requests (429); wait 240 seconds", "HF_TOKEN"]),
    "rate-limit-later": (None, "RateLimit, later", ["limits requests (429); wait 240 seconds"]),
    "down": (None, "Broken", ["the hub answers 503; repeat the call later"]),
    "down-later": (None, "Broken, later", ["the hub answers 503; repeat the call later"]),
    "silent": (None, "Silent", ["it is not in the cache and http", "is out of reach"]),
    "cut": (None, "stump", ["the download broke off", "repeat the call"]),
    "no-config": (without("config.json"), "", ["it has no config.json"]),
    "no-weights": (without("model.safetensors"), "", ["has no *.safetensors"]),
    "pickled": (only_pickled, "", ["has no *.safetensors", "pytorch_model.bin", "are not read"]),
    "shard-missing": (one_shard_missing, "", ["model-00002-of-00002.safetensors"]),
    "adapter": (with_adapter, "", ["adapter_config.json is of an adapter", "merge_and_unload"]),
    "no-tokenizer": (without(*TOKENIZER), "", ["no tokenizer in nobody/no-tokenizer@"]),
    "no-vocabulary": (
        without("tokenizer.json"),
        "",
        ["no tokenizer in", "expected tokenizer.json"],
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_cannot_be_had(case, hub, client, gte):
    change, trouble, words = MODELS[case]
    name = f"nobody/{case}"
    hub.model(name).push(change(gte) if change else gte)
    hub.model(name).trouble = trouble
    refused(client("inspect", "--model", name), name, *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nobody/nothing"], ["the model nobody/nothing: the hub has none", BERT]),
        (["--model", "nothing"], ["the model nothing: the hub has none", "--model"]),
        (["--model", f"{GTE}@v9"], [f"{GTE}@v9: it has no revision v9", "lists"]),
        (["--model", f"{GTE}@{'a' * 40}"], ["it has no revision aaaa"]),
        (["--data", "nobody/nothing"], ["data set nobody/nothing: the hub has none", "--data"]),
        (["--data", "nyu-mll/glue@v9"], ["it has no revision v9", "datasets/nyu-mll/glue lists"]),
        (["--tasks", "mrpc"], ["BuilderConfig 'mrpc' not found", "--data"]),
    ],
    ids=lambda value: value[1] if value[0].startswith("--") else "",
)
def test_a_name_that_is_not_there(arguments, words, client):
    refused(client("inspect", *arguments), *words)


def damaged(files):
    return {name: files[name] if name == "README.md" else b"no table" * 9 for name in files}


DATA: dict[str, tuple[Any, str, list[str]]] = {
    "gated": (None, "GatedRepo", ["it is gated; ask for access at http", "/datasets/", "--data"]),
    "rate-limit": (None, "RateLimit", ["limits requests (429); wait 240 seconds"]),
    "rate-limit-later": (None, "RateLimit, later", ["limits requests (429); wait 240 seconds"]),
    "down": (None, "Broken", ["the hub answers 503"]),
    "down-later": (None, "Broken, later", ["the hub answers 503"]),
    "file-missing": (
        without("rte/train-00000-of-00001.parquet"),
        "",
        ["'train': (None, {})", "--data"],
    ),
    "no-card": (without("README.md"), "", ["BuilderConfig 'rte' not found"]),
    "no-parquet": (damaged, "", ["not a parquet file"]),
    "script": (lambda files: {**files, "script.py": b"1"}, "", ["scripts are no longer"]),
    "rows": (lambda files: stand_ins.glue(rte=(100, 277)), "", ["100 rows, expected 2,490"]),
}


@pytest.mark.parametrize("case", DATA)
def test_a_data_set_that_cannot_be_had(case, hub, client):
    change, trouble, words = DATA[case]
    repository = hub.data("nyu-mll/glue")
    files = repository.commits[repository.branches["main"]]
    name = f"nobody/{case}"
    hub.data(name).push(change(files) if change else files)
    hub.data(name).trouble = trouble
    refused(client("inspect", "--data", name), name, *words)


# ------------------------------------------------------------------------- what has to be the same


def test_the_three_models_and_their_tokenizers(hub, client, bert):
    """By their names, as the paper's profile has them: what the files hold arrives, also by the
    names of old conversions (gamma, beta); a word is one token or more, the pairs are marked."""
    seen = client("inspect", "--profile", "paper")
    assert seen["status"] == 0 and not seen["err"], seen
    found = {model["model"].split("@")[0]: model for model in seen["result"]}
    assert list(found) == [BERT, ROBERTA, ALBERT]
    for name, model in found.items():
        assert model["model"] == f"{name}@{hub.model(name).branches['main']}"
        assert model["rows"] == 2490
    holds(found[BERT], bert)
    assert [model["tokenizer"] for model in found.values()] == [
        "BertTokenizer",
        "RobertaTokenizer",
        "AlbertTokenizer",
    ]
    drawn = ["classifier.bias", "classifier.weight"]
    heads = [[name for name in m["drawn"] if "classifier" not in name] for m in found.values()]
    assert heads == [[], [], []] and found[BERT]["drawn"] == found[ALBERT]["drawn"] == drawn
    for name, (first, last, joint) in {
        BERT: (2, 3, 1),
        ROBERTA: (0, 2, 2),
        ALBERT: (2, 3, 1),
    }.items():
        tokens = found[name]["first"]
        assert tokens[0] == first and tokens[-1] == last
        assert tokens.count(last) == joint + 1
    for name in (BERT, ROBERTA, ALBERT):
        assert client("masked_lm", name)["status"] == 0


def test_shards_and_one_file_are_one_model(hub, client, gte):
    hub.model("nobody/shards").push(stand_ins.gte_small(max_shard_size="10KB"))
    found = loaded(client("inspect", "--model", "nobody/shards"))
    holds(found, gte)
    assert found["weights"] == loaded(client("inspect"))["weights"]


def test_an_old_vocabulary_is_the_same_tokenizer(hub, client, bert):
    hub.model("nobody/vocabulary").push(without("tokenizer.json")(bert))
    found = loaded(client("inspect", "--model", "nobody/vocabulary"))
    assert found["first"] == loaded(client("inspect", "--model", BERT))["first"]


def test_a_download_that_breaks_off_once_goes_on_where_it_was(hub, client, gte):
    weights = {**load(gte["model.safetensors"]), "surplus": torch.zeros(LARGE_FILE // 4)}
    files = {**gte, "model.safetensors": save(weights, metadata={"format": "pt"})}
    repository = hub.model("nobody/cut-once")
    repository.push(files)
    repository.trouble = "cut once"
    seen = client("inspect", "--model", "nobody/cut-once")
    holds(loaded(seen), gte)
    ranges = [asked for name, asked in repository.downloads if name == "model.safetensors"]
    assert ranges == ["", f"bytes={10 * 2**20}-"]
    broken = hub.data("nobody/cut-once")
    broken.push(stand_ins.glue())
    broken.trouble = "cut once"
    assert client("rows", "rte", "nobody/cut-once")["result"] == [2490, 277]


def test_scitail_and_running_text(hub, client):
    """SciTail is another data set than GLUE, with words for labels, also where GLUE is named."""
    (planned,) = client("plan", "--tasks", "scitail")["result"]
    assert planned[2] == f"allenai/scitail@{hub.data('allenai/scitail').branches['main']}"
    assert client("rows", "scitail", planned[2])["result"] == [23596, 1304]
    assert client("rows", "scitail", "nyu-mll/glue")["result"] == [23596, 1304]
    seen = client("text", "Salesforce/wikitext")
    assert seen["result"] > 10_000 and not seen["err"]
    wrong = ["the text nobody/nothing: the hub has none", "Salesforce/wikitext", "--text"]
    refused(client("text", "nobody/nothing"), *wrong)
    refused(client("forgetting", "--text", "nobody/nothing"), *wrong)


def test_what_is_in_the_cache_is_not_asked_for_again(hub, client):
    """A study has thousands of runs, and the hub a limit: what a name means is asked once a
    command, and nothing else."""
    client("inspect")
    before = len(hub.requests)
    loaded(client("inspect"))
    asked = hub.requests[before:]
    assert asked == [f"GET /api/models/{GTE}", "GET /api/datasets/nyu-mll/glue"]


def test_a_branch_and_one_that_moves(hub, folder, client, gte):
    """Runs belong to a commit: other weights are other runs, whatever the branch is called, and a
    store whose runs are no longer meant says so, once, and how to go on with them."""
    name = "nobody/moving"
    repository = hub.model(name)
    old = repository.push(gte)
    (main,) = client("plan", "--model", name)["result"]
    assert main[1] == f"{name}@{old}"
    assert client("plan", "--model", f"{name}@{old}")["result"] == [main]
    other = repository.push(stand_ins.gte_small(max_shard_size="10KB"), branch="shards")
    (branch,) = client("plan", "--model", f"{name}@shards")["result"]
    assert branch[1] == f"{name}@{other}" and branch[0] != main[0]
    trained = client("train", "--model", name)
    assert trained["status"] == 0 and not trained["err"], trained
    new = repository.push(stand_ins.bert_large())
    seen = client("train", "--model", name, "--plan")
    assert seen["out"].startswith("bias_correction (small): 1 runs, 0 finished")
    assert seen["err"].startswith(f"warning: {name} is at commit {new[:8]}, and the runs in")
    assert seen["err"].endswith(f"--model {name}@{old}\n")
    seen = client("train", "--model", f"{name}@{old}", "--plan")
    assert "1 runs, 1 finished" in seen["out"] and not seen["err"]
    table = (folder / "results" / "bias_correction.csv").read_text()
    assert f"{name}@{old}" in table and "nyu-mll/glue@" in table


def test_without_the_hub_the_cache_serves(hub, folder, client, gte):
    """Out of reach, or HF_HUB_OFFLINE: what is in the cache is used, at the commit it is, and an
    older commit by its name; what is not is refused at once."""
    first = hub.model(GTE).branches["main"]
    client("inspect")
    newer = hub.model(GTE).push({**gte, "README.md": b"newer"})
    client("inspect")
    offline = Client(hub, folder / "cache", folder / "results", HF_HUB_OFFLINE="1")
    before = len(hub.requests)
    for user, why in ((offline, "HF_HUB_OFFLINE is set"), (client, "is out of reach")):
        if user is client:
            hub.stop()
        try:
            assert loaded(user("inspect"))["model"] == f"{GTE}@{newer}"
            (older,) = user("plan", "--model", f"{GTE}@{first}")["result"]
            assert older[1] == f"{GTE}@{first}"
            for arguments in (
                ["--model", "nobody/unknown"],
                ["--data", "nobody/unknown"],
                ["--tasks", "cola"],
            ):
                refused(user("inspect", *arguments), "it is not in the cache and", why)
        finally:
            if user is client:
                hub.start()
    offline.close()
    assert len(hub.requests) == before
    assert client("rows", "cola", "nyu-mll/glue")["result"] == [8551, 1043]  # it is back


# ------------------------------------------------------------------------------------- end to end


def commits(table: str) -> set[str]:
    return set(re.findall(r"[\w-]+/[\w-]+@\w{40}", table))


def today(hub: Hub, *models: str) -> set[str]:
    """GLUE's and the models' names with the commits of their main branches."""
    data = f"nyu-mll/glue@{hub.data('nyu-mll/glue').branches['main']}"
    return {data, *[f"{name}@{hub.model(name).branches['main']}" for name in models]}


def test_a_sweep_of_the_small_profile_by_its_own_names(hub, folder, client):
    seen = client("train")
    assert seen["status"] == 0 and not seen["err"], seen
    table = (folder / "results" / "bias_correction.csv").read_text()
    assert commits(table) == today(hub, GTE)


@pytest.mark.slow
def test_a_sweep_of_the_papers_profile_by_its_own_names(hub, tmp_path):
    """From a cold cache to a CSV: three models, one run each."""
    done = subprocess.run(
        [sys.executable, "-m", "experiments.bias_correction", *ONE_RUN, "--profile", "paper"]
        + ["--results", str(tmp_path / "results")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=clean(hub, tmp_path / "cache"),
        timeout=300,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    table = (tmp_path / "results" / "bias_correction.csv").read_text()
    assert commits(table) == today(hub, BERT, ROBERTA, ALBERT)
    assert len(table.splitlines()) == 4
