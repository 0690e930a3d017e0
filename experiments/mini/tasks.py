"""Five tasks in the language of the model organism, four of them with GLUE's column names, labels
and label proportions.

    cola  acceptability: is the sentence grammatical?        69 % acceptable   label 1 = acceptable
    rte   entailment: does sentence2 follow from sentence1?  53 % entailment   label 0 = entailment
    mrpc  paraphrase: do the two say the same?               68 % paraphrases  label 1 = paraphrase
    qnli  does the sentence answer the question?             50.5 % answers    label 0 = answer

and tagging: who acts, the verb, who is acted on, where and when, or none of these, a label a word.

Labels of the four are assigned in exact proportion, so the majority level is the same for every
generator seed.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from experiments.mini import language
from experiments.mini.language import (
    SLOTS,
    ask,
    distort,
    draw_event,
    follows,
    other,
    pick,
    plural,
    present,
    say,
    weaken,
)

Row = dict[str, str | int]

DATA_SEED = 20210312  # all splits of all tasks come from it
# 300 steps in 3 epochs of batch 16: 21 to 32 s with two runs on 2 cores
TRAIN_SIZE, DEV_SIZE = 1600, 300


def unacceptable(rng: Random) -> str:
    """A sentence with one error: agreement, missing or surplus object, word order, or
    determiner."""
    verbs = language.said_of(language.TRANSITIVE, language.HANDLING, language.INTRANSITIVE)
    verb_forms = {present(verb, True): present(verb, False) for verb in verbs}
    verb_forms |= {"are": "is", "were": "was"}
    verb_forms |= {singular: base for base, singular in verb_forms.items()}
    # an error that does not apply to the sentence drawn is drawn again with a new sentence
    while True:
        event = draw_event(rng)
        error = pick(rng, ["agreement", "object", "order", "determiner"])
        if error == "object":
            if event.object is None:
                extra = language.draw_noun_phrase(rng, language.PEOPLE + language.THINGS)
                return say(rng, replace(event, object=extra, verb=pick(rng, language.INTRANSITIVE)))
            return say(rng, replace(event, object=None))
        words = language.say_words(rng, event)
        if error == "agreement":
            places = [i for i, word in enumerate(words) if word in verb_forms]
            if places:
                i = pick(rng, places)
                return " ".join([*words[:i], verb_forms[words[i]], *words[i + 1 :]])
        elif error == "order":
            before_noun = {
                *language.SINGULAR_DETERMINERS,
                *language.PLURAL_DETERMINERS,
                *language.said_of(language.ADJECTIVES),
            }
            i = pick(rng, [i for i, word in enumerate(words) if word in before_noun])
            return " ".join([*words[:i], words[i + 1], words[i], *words[i + 2 :]])
        else:
            wrong = {
                "a": "two",
                "an": "some",
                "every": "these",
                "this": "those",
                "that": "two",
                "some": "every",
                "two": "a",
                "these": "this",
                "those": "every",
            }
            nouns = language.nouns()
            nouns |= {plural(noun) for noun in nouns}
            places = [
                i
                for i in range(len(words) - 2)
                if words[i] in wrong and (words[i + 1] in nouns or words[i + 2] in nouns)
            ]
            if places:
                i = pick(rng, places)
                return " ".join([*words[:i], wrong[words[i]], *words[i + 1 :]])


def cola(rng: Random, label: int) -> Row:
    """Acceptability: 1 a sentence as the language makes it, 0 one with an error."""
    return {
        "sentence": say(rng, draw_event(rng)) if label == 1 else unacceptable(rng),
        "label": label,
    }


def rte(rng: Random, label: int) -> Row:
    """Entailment: 0 the second sentence says the first with details left out or vaguer, 1
    something else in much the same words."""
    event = draw_event(rng)
    hypothesis = weaken(rng, event)
    # two changes; more where a vague noun was only made precise
    while label == 1 and follows(event, hypothesis):
        hypothesis = distort(rng, distort(rng, hypothesis))
    return {"sentence1": say(rng, event), "sentence2": say(rng, hypothesis), "label": label}


def mrpc(rng: Random, label: int) -> Row:
    """Paraphrase: 1 the same event in other words, order or voice, 0 one that differs in up to
    three things."""
    first = second = ""
    while second == first:  # some short events can be said in one way only
        event = meant = draw_event(rng, detail=0.35)
        while label == 0 and meant == event:  # three changes, some of which may undo each other
            meant = distort(rng, distort(rng, distort(rng, event)))
        first, second = say(rng, event), say(rng, meant)
    return {"sentence1": first, "sentence2": second, "label": label}


def qnli(rng: Random, label: int) -> Row:
    """Question answering: 0 the sentence says what is asked for, 1 it leaves that out, or tells of
    another event in nearly the same words."""
    while True:
        event = draw_event(rng, detail=0.6)
        slot = pick(rng, [slot for slot in SLOTS if getattr(event, slot)])
        asked = weaken(rng, event)
        question = ask(rng, asked, slot)
        if label == 0:
            return {
                "question": question,
                "sentence": say(rng, weaken(rng, event, keep=slot)),
                "label": 0,
            }
        if slot in ("manner", "place", "time"):  # the same event, without what is asked for
            details = {"manner": language.MANNERS, "place": language.PLACES, "time": language.TIMES}
            added = other(rng, sorted(details), slot)
            changes: dict[str, Any] = {slot: None, added: pick(rng, details[added])}
            unanswered = replace(event, **changes)
            return {"question": question, "sentence": say(rng, unanswered), "label": 1}
        # another event in nearly the same words: the other of subject and object is not the one in
        # the question
        if event.object is not None:
            known = "object" if slot == "subject" else "subject"
            phrase = getattr(event, known)
            nouns = (
                language.THINGS
                if phrase.noun in language.THINGS
                else language.PEOPLE + language.ANIMALS
            )
            wrong = replace(event, **{known: replace(phrase, noun=other(rng, nouns, phrase.noun))})
            if not follows(wrong, replace(asked, **{slot: getattr(wrong, slot)})):
                return {"question": question, "sentence": say(rng, wrong), "label": 1}


# task -> generator, share of label 1
GENERATORS: dict[str, tuple[Callable[[Random, int], Row], float]] = {
    "cola": (cola, 0.69),
    "rte": (rte, 0.47),
    "mrpc": (mrpc, 0.68),
    "qnli": (qnli, 0.495),
}


ROLES = ("O", "agent", "action", "patient", "place", "time")  # the labels of `tagging`


def rows(task: str, split: str, flipped: float = 0.0) -> list[Row]:
    """The rows of one split ("train" or "dev"), in a fixed random order; a share `flipped` of them,
    to the nearest row, with the other label."""
    generate, share_of_ones = GENERATORS[task]
    rng = Random(f"{DATA_SEED} {task} {split}")
    size = {"train": TRAIN_SIZE, "dev": DEV_SIZE}[split]
    ones = round(size * share_of_ones)
    made = [
        generate(rng, label) for label in language.shuffled(rng, [1] * ones + [0] * (size - ones))
    ]
    for i in language.shuffled(Random(f"{DATA_SEED} {task} flipped"), range(size))[
        : round(flipped * size)
    ]:
        made[i]["label"] = 1 - int(made[i]["label"])
    return made


def tagged(split: str, flipped: float = 0.0) -> list[list[language.Roled]]:
    """The sentences of one split of `tagging`, as words with roles; a share `flipped` of the words,
    to the nearest one, with another role."""
    rng = Random(f"{DATA_SEED} tagging {split}")
    size = {"train": TRAIN_SIZE, "dev": DEV_SIZE}[split]
    made = [language.say_roles(rng, draw_event(rng, detail=0.6)) for _ in range(size)]
    places = []
    for i, sentence in enumerate(made):
        places += [(i, j) for j in range(len(sentence))]
    noise = Random(f"{DATA_SEED} tagging flipped")
    for i, j in language.shuffled(noise, places)[: round(flipped * len(places))]:
        word, role = made[i][j]
        made[i][j] = (word, other(noise, ROLES, role))
    return made


def held_out_text(documents: int = 600) -> list[list[str]]:
    """Documents the pre-training never drew from: the WikiText-2 test set of this world."""
    stream = language.documents(seed=DATA_SEED)
    return [next(stream) for _ in range(documents)]
