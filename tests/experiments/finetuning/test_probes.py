"""What is measured beside the score, against hand computations and the models themselves."""

import math
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification

from experiments.finetuning.encoders import (
    load_classifier,
    load_masked_lm,
    load_tokenizer,
    load_without_head,
)
from experiments.finetuning.errors import BadInput
from experiments.finetuning.loading import tokenized_splits
from experiments.finetuning.probes import (
    fit_masked_lm_head,
    mask_blocks,
    masked_lm_perplexity,
    move_to,
    put_back,
)
from experiments.finetuning.texts import load_text
from experiments.finetuning.training import train
from experiments.loss_surfaces import EXAMPLES, EXAMPLES_SEED, Plane, measure, prepare_plane


def test_put_back_from_none_to_all():
    names = [
        "embeddings.w",
        "encoder.layer.0.w",
        "encoder.layer.0.b",
        "encoder.layer.1.w",
        "encoder.layer.10.w",
        "pooler.w",
    ]
    fine_tuned, pretrained = (
        {name: torch.tensor([value]) for name in names} for value in (1.0, 0.0)
    )
    encoder = names[1:5]
    values = {
        top: [put_back(fine_tuned, pretrained, top, 11)[name].item() for name in encoder]
        for top in range(12)
    }
    assert values[0] == [1, 1, 1, 1] and values[11] == [0, 0, 0, 0]
    assert values[1] == [1, 1, 1, 0] and values[9] == [1, 1, 1, 0] and values[10] == [1, 1, 0, 0]
    assert put_back(fine_tuned, pretrained, 3, 11).keys() == set(encoder)


def test_put_back_gives_exactly_the_two_encoders(tiny_model):
    pretrained_model = load_masked_lm(str(tiny_model))
    pretrained = {name: p.detach().clone() for name, p in pretrained_model.named_parameters()}
    fine_tuned = {name: p + 1 for name, p in pretrained.items()}
    for top, expected in ((0, fine_tuned), (2, pretrained)):
        pretrained_model.load_state_dict(put_back(fine_tuned, pretrained, top, 2), strict=False)
        for name, p in pretrained_model.named_parameters():
            assert torch.equal(p, (expected if "encoder.layer" in name else pretrained)[name]), name


class Toy(torch.nn.Module):
    """Always the same distribution over three words."""

    device = torch.device("cpu")

    def base_model(self, input_ids):
        return type("Output", (), {"last_hidden_state": torch.zeros(*input_ids.shape, 4)})

    def cls(self, hidden):
        return torch.tensor([0.5, 0.3, 0.2]).log().expand(len(hidden), 3)


def test_perplexity_of_a_toy_by_hand():
    labels = torch.tensor([[0, -100, 1], [-100, 2, 0], [1, -100, -100]])
    inputs = torch.zeros_like(labels)
    expected = math.exp(-(2 * math.log(0.5) + 2 * math.log(0.3) + math.log(0.2)) / 5)
    for batch_size in (1, 2, 3, 7):
        assert masked_lm_perplexity(Toy(), inputs, labels, batch_size) == pytest.approx(
            expected, rel=1e-6
        )


def test_perplexity_does_not_depend_on_the_batch_size_and_equals_hugging_faces_loss(tiny_model):
    model, tokenizer = load_masked_lm(str(tiny_model)), load_tokenizer(str(tiny_model))
    words = np.random.default_rng(0).integers(5, len(tokenizer), 700).tolist()
    inputs, labels = mask_blocks(words, tokenizer, 16, seed=1)
    assert inputs.shape == (50, 16)
    assert torch.equal(
        torch.where(labels == -100, inputs, labels)[:, 1:-1].flatten(), torch.tensor(words)
    )
    share = (labels != -100).float().mean().item()
    assert (
        0.08 < share < 0.19
        and (inputs == tokenizer.mask_token_id).sum() > 0.6 * (labels != -100).sum()
    )
    values = [masked_lm_perplexity(model, inputs, labels, size) for size in (1, 7, 50)]
    assert values == pytest.approx(
        [math.exp(model.eval()(input_ids=inputs, labels=labels).loss.item())] * 3, rel=1e-5
    )
    again = mask_blocks(words, tokenizer, 16, seed=1)
    assert torch.equal(again[0], inputs) and torch.equal(again[1], labels)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "albert"])
def test_perplexity_of_each_architecture_equals_hugging_faces_loss(architecture):
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        architecture,
        hidden_size=16,
        embedding_size=16,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=50,
        num_hidden_layers=2,
        max_position_embeddings=30,
    )
    model = AutoModelForMaskedLM.from_config(config).eval()
    inputs = torch.randint(5, 50, (6, 20))
    labels = torch.where(torch.rand(6, 20) < 0.15, inputs, -100)
    assert masked_lm_perplexity(model, inputs, labels, 4) == pytest.approx(
        math.exp(model(inputs, labels=labels).loss.item()), rel=1e-5
    )


def test_a_fitted_head_predicts_and_leaves_the_encoder_alone(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "headless")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    safetensors.torch.save_file(
        {name: p for name, p in weights.items() if not name.startswith("cls.predictions")},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(BadInput, match="no masked-LM head"):
        load_masked_lm(str(folder))
    model, lacking = load_without_head(str(folder))
    assert lacking and all(name.startswith("cls.predictions") for name in lacking)
    tokenizer = load_tokenizer(str(folder))
    text, other = (
        tokenizer(load_text("mini", validation), add_special_tokens=False)["input_ids"]
        for validation in (False, True)
    )
    test, validation = (
        mask_blocks(text, tokenizer, 64, seed=1),
        mask_blocks(other, tokenizer, 64, seed=2),
    )
    before = masked_lm_perplexity(model, *test)
    head = fit_masked_lm_head(model, lacking, *validation, batch_size=32, learning_rate=1e-2)
    fitted = load_masked_lm(str(folder), head)
    counts = torch.bincount(validation[1][validation[1] != -100], minlength=len(tokenizer)) + 1.0
    unigram = math.exp(-(counts / counts.sum()).log()[test[1][test[1] != -100]].mean().item())
    # its random encoder has no more to give
    assert masked_lm_perplexity(fitted, *test) < 1.2 * unigram < 0.7 * before
    for name, p in fitted.named_parameters():
        assert name in lacking or torch.equal(p, weights[name]), name


def test_move_to_the_corners():
    p, f, s = ([torch.full((2, 2), value)] for value in (1.0, 2.0, 5.0))
    for (a, b), expected in {
        (0, 0): 1,
        (1, 0): 2,
        (0, 1): 5,
        (0.5, 0): 1.5,
        (1, 1): 6,
        (-1, 0): 0,
    }.items():
        here = [torch.zeros(2, 2)]
        move_to(here, (p, f, s), a, b)
        assert (here[0] == expected).all()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("classifier", ["failed", "successful"])
def test_the_surface_at_its_corners_is_the_three_models_losses(
    tiny_run, tiny_model, packed, classifier
):
    one, other = (
        tiny_run(
            keep_weights=True, packed=packed, **{name: seed for name in ("head_seed", "order_seed")}
        )
        for seed in (1, 2)
    )
    weights = {run: train(run)["weights"] for run in (one, other)}
    plane = Plane(one, other, weights[one], weights[other], classifier)
    corners = measure([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)], plane)

    train_set, _ = tokenized_splits(one, load_tokenizer(str(tiny_model)))
    chosen = np.random.default_rng(EXAMPLES_SEED).permutation(len(train_set.labels))[:EXAMPLES]
    batch = {name: torch.from_numpy(x) for name, x in train_set.batch(chosen).items()}
    labels = batch.pop("labels")
    models = [load_classifier({"failed": one, "successful": other}[classifier], 2)[0]]
    for run in (one, other):
        model = AutoModelForSequenceClassification.from_pretrained(tiny_model)
        model.load_state_dict(safetensors.torch.load(weights[run]), strict=True)
        models.append(model)
    for model, (_, _, loss, norm) in zip(models, corners, strict=True):
        expected = cross_entropy(model.eval()(**batch).logits, labels)
        expected.backward()
        assert loss == pytest.approx(expected.item(), rel=1e-4)
        total = math.sqrt(
            sum(
                p.grad.double().pow(2).sum().item()
                for p in model.parameters()
                if p.grad is not None
            )
        )
        assert norm == pytest.approx(total, rel=1e-3)
    assert len({round(loss, 4) for _, _, loss, _ in corners}) == 3


def test_the_mean_classifier_lies_between(tiny_run):
    one, other = (tiny_run(keep_weights=True, head_seed=seed) for seed in (1, 2))
    blank = {
        run: safetensors.torch.save(
            {n: p.detach().clone() for n, p in load_classifier(run, 2)[0].named_parameters()}
        )
        for run in (one, other)
    }
    starts = {
        which: prepare_plane(Plane(one, other, blank[one], blank[other], which))[3][0][0]
        for which in ("failed", "successful", "mean")
    }
    torch.testing.assert_close(starts["mean"], (starts["failed"] + starts["successful"]) / 2)
    assert not torch.equal(starts["failed"], starts["successful"])
