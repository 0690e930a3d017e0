"""Catastrophic forgetting: do failed runs fail because they forget what pre-training taught?

Hypothesis : failed runs do forget (masked-LM perplexity far above the pre-trained model's), but
             mostly in their top layers, and their training loss does not fall below that of a
             constant answer: they fail to optimise, not to generalise.
Paper      : Mosbach et al. 2021 (ICLR), section 4.1, Fig. 2: RTE, default recipe, three failed and
             three successful runs; the top k encoder layers are put back to their pre-trained
             values, k = 0..24; perplexity on WikiText-2's test set.
Command    : python -m experiments.catastrophic_forgetting --profile mini
Cost       : mini: a first look takes 3 minutes on 2 slow cores, 7 runs shared with bias_correction
             and a minute for the perplexities. paper: 75 runs at three rates, shared with it; the
             weights of 25 take 1.3 GB each until the six are chosen.
Writes     : results/<profile>/catastrophic_forgetting.csv, one row per chosen run and k;
             catastrophic_forgetting_curves.csv, one row per run of the default recipe and
             evaluation.

The paper leaves open how it masked, how long the blocks were, and which embeddings and masked-LM
head it used. Here: 15 % of the tokens, 80/10/10, one mask for all models; blocks as long as the
model has positions (at most 512); the pre-trained embeddings and head (all published curves end at
exactly the pre-trained level, so k = 24 must be the pre-trained model); --fine-tuned-embeddings
feeds the fine-tuned ones instead. A model without a masked-LM head, such as gte-small, gets one
fitted with --fit-head: all else frozen, the output tied to the input embeddings, ten passes over
the validation text; how good it is says the pre-trained model's perplexity beside that of a unigram
model of the same text.
"""

import argparse
import dataclasses
import json
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import at_revision, fingerprint, named, write_atomically
from experiments.finetuning.run import Run
from experiments.finetuning.sources import architecture, has_masked_lm_head, identify_model
from experiments.finetuning.texts import MASK_SEED, blocks_of, check_text, identify_text, load_text
from experiments.sweeps import store
from experiments.sweeps.command import default_rate, learning_rates, profile_of, whole_path
from experiments.sweeps.flags import number
from experiments.sweeps.grid import grid, one_task
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import curves, first_failed_and_successful, write_csv
from experiments.sweeps.sweep import Experiment, Records, main, measure_all
from experiments.sweeps.training_runs import train_for_weights, weights_of

FITTING_SEED = 2  # masks the text that a head is fitted on
# bytes; of a model so small all weights are kept until enough failed runs are found, at whatever
# rate
SMALL = 50e6
# architectures whose layers and masked-LM head we know by name
MEASURABLE = ("bert", "roberta", "xlm-roberta", "camembert")
# that a measured row can have
LOWEST = {"perplexity": 1.0, "pretrained_perplexity": 1.0, "words": 1, "layers_put_back": 0}


def add_flags(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--text",
        type=named,
        metavar="NAME_OR_DIR",
        help=(
            "running text for perplexity: mini, a folder with wiki.test.raw, or "
            "WikiText-2's name on the data hub, @REVISION likewise (default: the profile's)"
        ),
    )
    p.add_argument(
        "--fine-tuned-embeddings",
        action="store_true",
        help=(
            "measure perplexity with the fine-tuned input embeddings (default: the pre-trained"
            " ones)"
        ),
    )
    p.add_argument(
        "--fit-head",
        action="store_true",
        help=(
            "where the model comes without a masked-LM head, fit one on the frozen "
            "pre-trained encoder, on WikiText-2's validation text"
        ),
    )
    p.add_argument(
        "--of-each",
        type=number(int, 1, 1000, "a number of runs"),
        metavar="N",
        help="measure N failed and N successful runs (default: the paper's 3; a first look 2)",
    )
    p.add_argument(
        "--blocks",
        type=number(int, 1, 1_000_000, "a number of blocks"),
        metavar="N",
        help="measure on the first N blocks of the text only (default: all)",
    )


def planned(options: argparse.Namespace) -> list[Run]:
    options.text = whole_path(
        options.text or profile_of(options).text, "text", getattr(options, "look_up", True)
    )
    check_text(
        options.text, validation=options.fit_head and not has_masked_lm_head(options.models[0])
    )
    default = default_rate(options)
    runs = grid(
        options,
        tasks=one_task(options, "catastrophic_forgetting"),
        corrections=[False],
        epochs=LENGTHS[:1],
        learning_rates=learning_rates(options),
    )
    # inf: on the hub
    size = (
        sum(path.stat().st_size for path in Path(options.models[0]).glob("*.safetensors"))
        or math.inf
    )
    measurable = not (reason := unmeasured(options))
    if options.fit_head and not measurable:
        raise BadInput(f"--fit-head: {reason}")
    if measurable and not options.plan:
        check_blocks(options)
    return [
        dataclasses.replace(
            run, keep_weights=measurable and (run.learning_rate == default or size < SMALL)
        )
        for run in runs
    ]


def unmeasured(options: argparse.Namespace) -> str:
    """Why no perplexity can be measured; empty where it can."""
    if options.random_weights:
        return "random weights have nothing to forget, so no perplexity is measured"
    kind = architecture(options.models[0])[0]
    if kind not in MEASURABLE:
        return (
            f"{options.models[0]} is of type {kind}, whose layers or head have other names, so no"
            f" perplexity is measured; expected one of {', '.join(MEASURABLE)}"
        )
    if options.fit_head or has_masked_lm_head(options.models[0]):
        return ""
    return (
        f"{options.models[0]} has no masked-LM head, so no perplexity can be measured; --fit-head"
        " fits one"
    )


def measured(options: argparse.Namespace, records: Records) -> Records:
    """The runs whose perplexity is measured: first the failed ones."""
    if unmeasured(options):
        return []
    failed_or_not = first_failed_and_successful(
        records, default_rate(options), options.of_each or (2 if options.quick else 3)
    )
    return failed_or_not[True] + failed_or_not[False]


def write(options: argparse.Namespace, records: Records) -> None:
    points = []
    for record in records:
        if record["run"]["learning_rate"] == default_rate(options):
            points += curves(record)
    write_csv(options.results / "catastrophic_forgetting_curves.csv", points)
    if reason := unmeasured(options):
        print(f"catastrophic_forgetting: {reason}", file=sys.stderr)
        write_csv(options.results / "catastrophic_forgetting.csv", [])
        return
    own_head, picked = has_masked_lm_head(options.models[0]), measured(options, records)
    settings = {
        "text": options.text,
        "fine_tuned_embeddings": options.fine_tuned_embeddings,
        "blocks": options.blocks,
    }
    head = None if own_head else fitted_head(options)
    how = [{**settings, "text": identify_text(options.text)}, MASK_SEED, head and fingerprint(head)]
    measured_how = fingerprint(json.dumps(how).encode())

    def path(record: dict) -> Path:
        return options.results / "perplexities" / f"{Run(**record['run']).id}-{measured_how}.json"

    found = {path(record): store.read_measured(path(record), lowest=LOWEST) for record in picked}
    missing = [record for record in picked if not found[path(record)]]
    # what an earlier call measured, perhaps of another model, must not stand beside these curves
    if missing:
        (options.results / "catastrophic_forgetting.csv").unlink(missing_ok=True)
    train_for_weights(missing, options, "catastrophic_forgetting")
    print(
        f"catastrophic_forgetting: perplexities of {len(picked)} runs, {len(picked) - len(missing)}"
        " finished",
        flush=True,
    )
    # read when there is room: 1.3 GB each for BERT-large
    jobs = ((record, weights_of(record, options)) for record in missing)
    for (record, _), rows in measure_all(
        partial(perplexities, **settings, head=head), jobs, options, "perplexities", len(missing)
    ):
        write_atomically(path(record), json.dumps(rows))
        found[path(record)] = rows
    compared = {} if own_head else {"unigram_perplexity": unigram_perplexity(options)}
    rows = []
    for measured_rows in found.values():
        rows += [{**row, **compared} for row in measured_rows or ()]
    write_csv(options.results / "catastrophic_forgetting.csv", rows)


def check_blocks(options: argparse.Namespace) -> None:
    """BadInput, before anything is trained, where perplexity could not be measured afterwards."""
    from experiments.finetuning.encoders import load_config

    source = options.models[0]
    for validation in (False, True) if options.fit_head else (False,):
        text = load_text(options.text, validation)
        _, labels = blocks_of(text, source, load_config(source), MASK_SEED)
        if not (labels[: options.blocks] != -100).any():
            raise BadInput(
                f"the text {options.text} has no token that can be predicted: all are unknown to"
                f" {source} or special; expected running text in the model's language, see --text"
            )


def fitted_head(options: argparse.Namespace) -> bytes:
    """A masked-LM head for a model that has none (safetensors), fitted once and kept among the
    results."""
    import safetensors.torch

    from experiments.finetuning.encoders import load_without_head
    from experiments.finetuning.probes import fit_masked_lm_head

    source, text = options.models[0], load_text(options.text, validation=True)
    made_from = fingerprint(identify_model(source).encode(), text.encode())
    path = options.results / "weights" / f"masked_lm_head-{made_from}.safetensors"
    if not path.is_file():
        print("catastrophic_forgetting: fitting a masked-LM head", flush=True)
        model, lacking = load_without_head(source)
        head = fit_masked_lm_head(
            model, lacking, *blocks_of(text, source, model.config, FITTING_SEED)
        )
        write_atomically(
            path, safetensors.torch.save({name: p.contiguous() for name, p in head.items()})
        )
    return path.read_bytes()


def unigram_perplexity(options: argparse.Namespace) -> float:
    """What knowing nothing but how often each token stands in the validation text (its count and
    one) gives on the measured tokens: what a fitted head must be better than."""
    import torch

    from experiments.finetuning.encoders import load_config

    config = load_config(options.models[0])
    (inputs, labels), (_, asked) = (
        blocks_of(load_text(options.text, validation), options.models[0], config, MASK_SEED)
        for validation in (True, False)
    )
    counts = (
        torch.bincount(
            torch.where(labels != -100, labels, inputs).flatten(), minlength=config.vocab_size
        )
        + 1.0
    )
    predicted = asked[: options.blocks]
    return math.exp(-(counts / counts.sum()).log()[predicted[predicted != -100]].mean().item())


def perplexities(
    job: tuple[dict, bytes],
    text: str,
    fine_tuned_embeddings: bool,
    blocks: int | None,
    head: bytes | None,
) -> list[dict]:
    """One row for each k of one run, given as its record and its weights."""
    import safetensors.torch

    from experiments.finetuning.encoders import load_masked_lm
    from experiments.finetuning.probes import check_layers, masked_lm_perplexity, put_back
    from experiments.finetuning.training import make_repeatable

    record, fine_tuned = job[0], safetensors.torch.load(job[1])
    run = Run(**record["run"])
    make_repeatable(run)
    model = load_masked_lm(run.model_source, safetensors.torch.load(head) if head else None).to(
        run.device
    )
    layers = model.config.num_hidden_layers
    check_layers(fine_tuned, run.model)
    inputs, labels = (
        part[:blocks]
        for part in blocks_of(load_text(text), run.model_source, model.config, MASK_SEED)
    )
    pretrained = {name: p.detach().clone() for name, p in model.named_parameters()}
    how = {
        "pretrained_perplexity": masked_lm_perplexity(model, inputs, labels),
        "words": int((labels != -100).sum()),
        "embeddings": "fine-tuned" if fine_tuned_embeddings else "pre-trained",
        "text": text_name(text),
        "masked_lm_head": "fitted" if head else "its own",
    }
    if fine_tuned_embeddings:
        take_embeddings(model, fine_tuned)
    rows = []
    for top in range(layers + 1):
        model.load_state_dict(put_back(fine_tuned, pretrained, top, layers), strict=False)
        perplexity = masked_lm_perplexity(model, inputs, labels)
        point = {"layers_put_back": top, "layers": layers, "perplexity": perplexity}
        rows.append({**which_run(record), **point, **how})
    return rows


def take_embeddings(model: Any, fine_tuned: dict[str, Any]) -> None:
    """Give a masked-LM model the fine-tuned input embeddings. The head stays as it is, though it
    shares the input's matrix."""
    import torch

    output = model.get_output_embeddings()
    output.weight = torch.nn.Parameter(output.weight.detach().clone())
    model.load_state_dict(
        {name: p for name, p in fine_tuned.items() if ".embeddings." in name}, strict=False
    )


def which_run(record: dict) -> dict[str, Any]:
    """What a row says of its run."""
    run = Run(**record["run"])
    return {
        "task": run.task,
        "model": run.model,
        "data": run.data,
        "learning_rate": run.learning_rate,
        "epochs": run.epochs,
        "run": run.id,
        "seed": run.seed,
        "failed": record["outcome"]["failed"],
        "score": record["outcome"]["score"],
    }


def text_name(source: str) -> str:
    """A folder's name, or the last part of a hub name, with its revision."""
    name, revision = at_revision(source)
    return name.rstrip("/").split("/")[-1] + (f"@{revision}" if revision else "")


EXPERIMENT = Experiment(
    "catastrophic_forgetting", __doc__, planned, write, add_flags, measured, in_parts=False
)

if __name__ == "__main__":
    main(EXPERIMENT)
