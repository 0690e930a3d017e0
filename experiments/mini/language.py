"""The language of the model organism: a small, English-like world, generated from a seed.

An Event is who did what to whom, how, where and when. It can be said in several ways (synonyms,
active or passive, a fronted place or time), weakened (a detail left out, a noun replaced by its
class), distorted (roles swapped, a word exchanged, an unsupported detail added) and asked about. A
document is a handful of sentences around one event, so that predicting a masked word pays for
reading the other sentences: what the pair tasks need.

Every draw goes through `random.Random(seed).random()`, the one method whose sequence Python
promises to keep, so the text is the same, byte for byte, on every machine and Python version.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar

# Words in one tuple are synonyms. All verbs are regular, so that past tense and participle are one
# form.
PEOPLE = (
    ("sailor", "seaman"),
    ("doctor", "physician"),
    ("teacher", "tutor"),
    ("lawyer", "attorney"),
    ("singer",),
    ("farmer",),
    ("baker",),
    ("pilot",),
    ("nurse",),
    ("painter",),
    ("king",),
    ("queen",),
)
ANIMALS = (
    ("dog", "hound"),
    ("rabbit", "bunny"),
    ("horse",),
    ("cat",),
    ("bird",),
    ("goat",),
    ("tiger",),
    ("bear",),
)
THINGS = (
    ("boat", "ship"),
    ("stone", "rock"),
    ("picture", "image"),
    ("coat", "jacket"),
    ("lamp",),
    ("basket",),
    ("letter",),
    ("chair",),
    ("drum",),
    ("wagon",),
)
CLASS_OF = {
    **dict.fromkeys(PEOPLE, "person"),
    **dict.fromkeys(ANIMALS, "animal"),
    **dict.fromkeys(THINGS, "thing"),
}
TRANSITIVE = (
    ("chase", "pursue"),
    ("help", "assist"),
    ("watch", "observe"),
    ("follow", "trail"),
    ("scare", "frighten"),
    ("praise",),
    ("greet",),
    ("push",),
    ("touch",),
    ("visit",),
)
# object is a thing
HANDLING = (("fix", "repair"), ("lift", "raise"), ("paint",), ("carry",), ("clean",), ("guard",))
INTRANSITIVE = (
    ("walk", "stroll"),
    ("laugh", "chuckle"),
    ("jump", "leap"),
    ("rest",),
    ("wait",),
    ("dance",),
    ("arrive",),
)
ADJECTIVES = (
    ("big", "large"),
    ("small", "little"),
    ("fast", "quick"),
    ("happy", "glad"),
    ("angry", "furious"),
    ("old",),
    ("young",),
    ("brown",),
    ("white",),
    ("strong",),
    ("strange",),
)
MANNERS = (
    ("quickly", "rapidly"),
    ("quietly", "silently"),
    ("carefully", "cautiously"),
    ("slowly",),
    ("proudly",),
    ("bravely",),
)
PLACES = (
    ("near the river",),
    ("in the garden", "in the yard"),
    ("at the market",),
    ("behind the house",),
    ("on the hill",),
    ("in the forest", "in the woods"),
    ("at the station",),
    ("under the bridge",),
)
TIMES = (
    ("in the morning", "at dawn"),
    ("in the evening", "at dusk"),
    ("at night",),
    ("at noon",),
    ("in summer",),
    ("in winter",),
)
SINGULAR_DETERMINERS = ("the", "a", "every", "this", "that")
PLURAL_DETERMINERS = ("the", "some", "two", "these", "those")
SENTENCES = 6  # of a document
SLOTS = ("subject", "object", "manner", "place", "time")  # what a question can ask for

T = TypeVar("T")
Word = tuple[str, ...]  # a concept: its synonyms
Roled = tuple[str, str]  # a word, and its role in the event
NO_ROLE = "O"


@dataclass(frozen=True)
class NounPhrase:
    """Who or what: the two big dogs that chase the cat."""

    determiner: str
    noun: Word
    plural: bool
    adjective: Word | None = None
    # relative clause: (transitive verb, noun of its object)
    clause: tuple[Word, Word] | None = None


@dataclass(frozen=True)
class Event:
    """Who does what to whom, how, where and when; `present`: tense."""

    subject: NounPhrase
    verb: Word
    object: NounPhrase | None
    present: bool
    manner: Word | None = None
    place: Word | None = None
    time: Word | None = None


def pick(rng: Random, items: Sequence[T]) -> T:
    """One of the items, each as likely."""
    return items[int(rng.random() * len(items))]


def other(rng: Random, items: Sequence[T], unwanted: T) -> T:
    """One of the items but `unwanted`."""
    return pick(rng, [item for item in items if item != unwanted])


def shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    """The items in random order."""
    keys = [rng.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]


# ---------------------------------------------------------------- word forms


def _with_s(word: str) -> str:
    if word.endswith(("s", "sh", "ch", "x")):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") and word[-2] not in "aeiou" else word + "s"


def plural(noun: str) -> str:
    """dog, dogs; person, people."""
    return {"person": "people", "seaman": "seamen"}.get(noun) or _with_s(noun)


def present(verb: str, plural_subject: bool) -> str:
    """The verb in the present tense: they chase, it chases."""
    return verb if plural_subject else _with_s(verb)


def past(verb: str) -> str:
    """Past tense and participle: chased."""
    if verb.endswith("e"):
        return verb + "d"
    return verb[:-1] + "ied" if verb.endswith("y") and verb[-2] not in "aeiou" else verb + "ed"


# ---------------------------------------------------------------- drawing


def draw_noun_phrase(rng: Random, nouns: Sequence[Word], detail: float = 0.5) -> NounPhrase:
    """A noun of `nouns` with determiner; `detail` is the probability of an adjective, four times
    that of a relative clause."""
    is_plural = rng.random() < 0.4
    return NounPhrase(
        determiner=pick(rng, PLURAL_DETERMINERS if is_plural else SINGULAR_DETERMINERS),
        noun=pick(rng, nouns),
        plural=is_plural,
        adjective=pick(rng, ADJECTIVES) if rng.random() < detail else None,
        clause=(
            (pick(rng, TRANSITIVE), pick(rng, PEOPLE + ANIMALS))
            if rng.random() < detail / 4 and nouns is not THINGS
            else None
        ),
    )


def draw_event(rng: Random, detail: float = 0.5) -> Event:
    """One event; `detail` is the probability of each optional part."""
    subject = draw_noun_phrase(rng, PEOPLE + ANIMALS, detail)
    kind = rng.random()
    if kind < 0.6:
        verb, target = pick(rng, TRANSITIVE), draw_noun_phrase(rng, PEOPLE + ANIMALS, detail)
    elif kind < 0.8:
        verb, target = pick(rng, HANDLING), draw_noun_phrase(rng, THINGS, detail)
    else:
        verb, target = pick(rng, INTRANSITIVE), None
    return Event(
        subject,
        verb,
        target,
        present=rng.random() < 0.5,
        manner=pick(rng, MANNERS) if rng.random() < detail else None,
        place=pick(rng, PLACES) if rng.random() < detail else None,
        time=pick(rng, TIMES) if rng.random() < detail else None,
    )


# ---------------------------------------------------------------- saying


def say_noun_phrase(rng: Random, phrase: NounPhrase) -> list[str]:
    """Its words; of synonyms one is drawn."""
    noun = pick(rng, phrase.noun)
    words = [
        phrase.determiner,
        *([pick(rng, phrase.adjective)] if phrase.adjective else []),
        plural(noun) if phrase.plural else noun,
    ]
    if phrase.clause:
        verb, target = phrase.clause
        words += ["that", present(pick(rng, verb), phrase.plural), "the", pick(rng, target)]
    if words[0] == "a" and words[1][0] in "aeiou":
        words[0] = "an"
    return words


def say_words(rng: Random, event: Event) -> list[str]:
    """The event as a list of words with the final full stop; synonyms, voice and word order are
    drawn."""
    return [word for word, _ in say_roles(rng, event)]


def with_role(words: list[str], role: str, phrase: NounPhrase) -> list[Roled]:
    """The words of a noun phrase with their role, those of its relative clause with none."""
    inside = len(words) - (4 if phrase.clause else 0)
    return [(word, role if i < inside else NO_ROLE) for i, word in enumerate(words)]


def say_roles(rng: Random, event: Event) -> list[Roled]:
    """The words of say_words, each with its role in the event: who acts (determiner, adjective and
    noun), the verb, who or what is acted on, place, time; the rest has none, a relative clause and
    the manner too."""
    subject = with_role(say_noun_phrase(rng, event.subject), "agent", event.subject)
    verb = pick(rng, event.verb)

    def patient() -> list[Roled]:
        if event.object is None:
            return []
        return with_role(say_noun_phrase(rng, event.object), "patient", event.object)

    if event.object is None or rng.random() < 0.7:
        said = present(verb, event.subject.plural) if event.present else past(verb)
        core = [*subject, (said, "action"), *patient()]
    else:
        auxiliary = {
            (True, True): "are",
            (True, False): "is",
            (False, True): "were",
            (False, False): "was",
        }
        core = [
            *patient(),
            (auxiliary[event.present, event.object.plural], NO_ROLE),
            (past(verb), "action"),
            ("by", NO_ROLE),
            *subject,
        ]
    core += [(pick(rng, event.manner), NO_ROLE)] if event.manner else []
    tail = []
    for part, role in ((event.place, "place"), (event.time, "time")):
        if part:
            tail.append([(word, role) for word in pick(rng, part).split()])
    if tail and rng.random() < 0.3:
        core = tail.pop(int(rng.random() * len(tail))) + [(",", NO_ROLE)] + core
    for words in tail:
        core += words
    return [*core, (".", NO_ROLE)]


def say(rng: Random, event: Event) -> str:
    """The event as a sentence: say_words, joined."""
    return " ".join(say_words(rng, event))


def ask(rng: Random, event: Event, slot: str) -> str:
    """A question whose answer is the given slot of the event, which must be filled."""
    verb = pick(rng, event.verb)
    if slot == "subject":
        words = ["who", present(verb, plural_subject=False) if event.present else past(verb)]
        words += say_noun_phrase(rng, event.object) if event.object else []
    else:
        word = {"object": "what", "manner": "how", "place": "where", "time": "when"}[slot]
        auxiliary = ("do" if event.subject.plural else "does") if event.present else "did"
        words = [word, auxiliary, *say_noun_phrase(rng, event.subject), verb]
        words += say_noun_phrase(rng, event.object) if event.object and slot != "object" else []
    return " ".join([*words, "?"])


# ---------------------------------------------------------------- changing


def weaken(rng: Random, event: Event, keep: str | None = None) -> Event:
    """The event with details left out or made vaguer, so that it follows from the original; slot
    `keep` stays."""
    dropped: dict[str, Any] = {
        slot: None for slot in ("manner", "place", "time") if slot != keep and rng.random() < 0.5
    }

    def vaguer(phrase: NounPhrase) -> NounPhrase:
        # what holds for every old king need not hold for every king
        if phrase.determiner == "every":
            return phrase
        noun = (
            (CLASS_OF[phrase.noun],)
            if rng.random() < 0.15 and phrase.noun in CLASS_OF
            else phrase.noun
        )
        return replace(
            phrase,
            noun=noun,
            adjective=phrase.adjective if rng.random() < 0.5 else None,
            clause=None,
        )

    return replace(
        event,
        subject=vaguer(event.subject),
        object=event.object and vaguer(event.object),
        **dropped,
    )


def distort(rng: Random, event: Event) -> Event:
    """A different event in much the same words. (A vague noun may be made precise: ask `follows`
    what that means.)"""
    changes = [
        "verb",
        "subject",
        "place" if event.place else "add place",
        "time" if event.time else "add time",
    ]
    changes += ["object"] if event.object else []
    if (
        event.object
        and event.object.noun != event.subject.noun
        and CLASS_OF.get(event.object.noun) != "thing"
    ):
        changes += ["swap", "swap"]
    change = pick(rng, changes)
    if change == "swap" and event.object:
        return replace(event, subject=event.object, object=event.subject)
    if change == "verb":
        family = next(
            family for family in (TRANSITIVE, HANDLING, INTRANSITIVE) if event.verb in family
        )
        return replace(event, verb=other(rng, family, event.verb))
    if change in ("subject", "object"):
        phrase = getattr(event, change)
        nouns = THINGS if CLASS_OF.get(phrase.noun, phrase.noun[0]) == "thing" else PEOPLE + ANIMALS
        return replace(event, **{change: replace(phrase, noun=other(rng, nouns, phrase.noun))})
    slot = change.removeprefix("add ")
    return replace(
        event, **{slot: other(rng, {"place": PLACES, "time": TIMES}[slot], getattr(event, slot))}
    )


def follows(event: Event, hypothesis: Event) -> bool:
    """Whether the hypothesis says nothing that the event does not: its details are the event's
    or left out."""

    def covered(phrase: NounPhrase | None, claim: NounPhrase | None) -> bool:
        if phrase is None or claim is None:
            return phrase is claim
        return (
            (claim.determiner, claim.plural) == (phrase.determiner, phrase.plural)
            and claim.noun in (phrase.noun, (CLASS_OF.get(phrase.noun),))
            and claim.adjective in (None, phrase.adjective)
            and claim.clause in (None, phrase.clause)
        )

    return (
        (event.verb, event.present) == (hypothesis.verb, hypothesis.present)
        and covered(event.subject, hypothesis.subject)
        and covered(event.object, hypothesis.object)
        and all(
            getattr(hypothesis, slot) in (None, getattr(event, slot))
            for slot in ("manner", "place", "time")
        )
    )


# ---------------------------------------------------------------- running text


def document(rng: Random) -> list[str]:
    """About SENTENCES sentences around one event: said again, weakened, asked and answered,
    carried on."""
    event = draw_event(rng)
    text = [say(rng, event)]
    while len(text) < SENTENCES:
        kind = rng.random()
        if kind < 0.35:
            text.append(say(rng, event))
        elif kind < 0.6:
            text.append(say(rng, weaken(rng, event)))
        elif kind < 0.85:
            slot = pick(rng, [slot for slot in SLOTS if getattr(event, slot)])
            text += [ask(rng, weaken(rng, event), slot), say(rng, weaken(rng, event, keep=slot))]
        else:  # carry on with the same actor
            following = draw_event(rng)
            event = replace(
                following, subject=replace(event.subject, determiner="the", clause=None)
            )
            text.append(say(rng, event))
    return text


def documents(seed: int) -> Iterator[list[str]]:
    """Documents without end."""
    rng = Random(seed)
    while True:
        yield document(rng)


def vocabulary() -> list[str]:
    """Every word the language can produce, sorted."""
    words = {
        "a",
        "an",
        "the",
        "that",
        "by",
        "is",
        "are",
        "was",
        "were",
        "do",
        "does",
        "did",
        "who",
        "what",
        "how",
        "where",
        "when",
        ".",
        ",",
        "?",
        *SINGULAR_DETERMINERS,
        *PLURAL_DETERMINERS,
    }
    for noun in {*nouns(), *CLASS_OF.values()}:
        words |= {noun, plural(noun)}
    for verb in said_of(TRANSITIVE, HANDLING, INTRANSITIVE):
        words |= {verb, _with_s(verb), past(verb)}
    for phrase in said_of(ADJECTIVES, MANNERS, PLACES, TIMES):
        words |= set(phrase.split())
    return sorted(words)


def nouns() -> set[str]:
    """All nouns but the class nouns, in the singular."""
    return said_of(PEOPLE, ANIMALS, THINGS)


def said_of(*groups: Sequence[Word]) -> set[str]:
    """All ways to say the concepts of some groups."""
    said: set[str] = set()
    for group in groups:
        for concept in group:
            said |= set(concept)
    return said
