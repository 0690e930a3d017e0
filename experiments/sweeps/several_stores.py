"""Several stores side by side, before they are joined by copying runs/*.json into one folder: a
run's file has the same name everywhere, so a run that stands in both is one file afterwards.

Which seeds of a setting are finished where, which ones no store has, and which runs stand in
several stores and end otherwise there.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from experiments.finetuning.run import Run
from experiments.sweeps import store
from experiments.sweeps.flags import SEED_FLAGS

SHOWN = ("task", "learning_rate", "bias_correction", "epochs")  # of every setting
# a run's hashed fields but its seeds, by name, sorted
Setting: TypeAlias = tuple[tuple[str, Any], ...]


@dataclasses.dataclass(frozen=True)
class Finished:
    """A finished run in one store, without its history."""

    run: Run
    ending: dict[str, str]
    made_by: str  # device and version of torch

    @property
    def setting(self) -> Setting:
        fields = self.run.hashed_fields()
        return tuple(sorted((name, fields[name]) for name in fields if name not in SEED_FLAGS))


def finished_in(results: Path) -> dict[str, Finished]:
    """The finished runs of a store by id."""
    found = {}
    for record in store.stored(results):
        run, outcome = Run(**record["run"]), record["outcome"]
        versions = f"{outcome.get('device', 'cpu')}, torch {outcome.get('torch_version', '?')}"
        found[run.id] = Finished(run, store.ending(record), versions)
    return found


def compared(stores: Iterable[Path], wanted: range) -> dict[str, list[str]]:
    """Lines under each heading. `wanted` are the seeds that every setting of any store should have;
    a setting that no store has at all is not known here (--plan knows)."""
    by_store = {str(path): finished_in(path) for path in stores}
    everything: list[Finished] = []
    for runs in by_store.values():
        everything += runs.values()
    settings = list(dict.fromkeys(found.setting for found in everything))
    finished, missing = [], []
    for setting in sorted(settings, key=_order):
        name = setting_name(setting, settings)
        seeds: dict[str, list[int | str]] = {}
        for where, runs in by_store.items():
            seeds[where] = [found.run.seed for found in runs.values() if found.setting == setting]
        held = [f"{where} {seed_ranges(some)}" for where, some in seeds.items() if some]
        finished.append(f"{name}: {'; '.join(held)}")
        there = {number_of(seed) for some in seeds.values() for seed in some}
        if lacking := set(wanted) - there:
            missing.append(f"{name}: {seed_ranges(lacking)}")
    alike, otherwise = in_several(by_store)
    return {
        "seeds": finished,
        "missing": missing,
        "in several": [f"{alike} runs that end the same in each"] if alike else [],
        "otherwise": otherwise,
    }


def number_of(seed: int | str) -> int | str:
    """The seed of a run as a number: where one of the three is held, the number of the others."""
    parts = str(seed).split("/")
    shared = [part for part in parts if parts.count(part) > 1]
    return seed if isinstance(seed, int) or not shared else int(shared[0])


def in_several(by_store: dict[str, dict[str, Finished]]) -> tuple[int, list[str]]:
    """How many runs stand in several stores and end the same, and a line for each that does
    not."""
    alike, otherwise = 0, []
    for run_id in sorted({run_id for runs in by_store.values() for run_id in runs}):
        holders = {where: runs[run_id] for where, runs in by_store.items() if run_id in runs}
        first = next(iter(holders.values()))
        differing = [
            name
            for name, value in first.ending.items()
            if any(found.ending[name] != value for found in holders.values())
        ]
        if differing:
            values = [
                f"{found.ending[differing[0]]} in {where} ({found.made_by})"
                for where, found in holders.items()
            ]
            run = first.run
            what = f"{run.task}, {run.learning_rate:g}, {run.epochs} epochs, seed {run.seed}"
            otherwise.append(f"{run_id} ({what}): {differing[0]} {', '.join(values)}")
        elif len(holders) > 1:
            alike += 1
    return alike, otherwise


def setting_name(setting: Setting, settings: list[Setting]) -> str:
    """A setting in words: the fields that every one is named by, and those not at their default
    in which some of `settings` differ."""
    fields = dict(setting)
    corrected = "with" if fields["bias_correction"] else "without"
    parts = [
        f"{fields['task']}, {fields['learning_rate']:g}, {corrected} bias correction,"
        f" {fields['epochs']} epochs"
    ]
    default = {field.name: field.default for field in dataclasses.fields(Run)}
    for name, value in setting:
        varies = any(dict(other)[name] != value for other in settings)
        if name not in SHOWN and varies and value != default[name]:
            parts.append(f"{name} {value}")
    return ", ".join(parts)


def _order(setting: Setting) -> list[str | float]:
    fields = dict(setting)
    return [fields[name] for name in ("task", "epochs", "learning_rate", "bias_correction")] + [
        str(setting)
    ]


def seed_ranges(seeds: Iterable[int | str]) -> str:
    """Seeds as text, neighbours as a range: 1-5, 8. Of runs whose three seeds are not one, which
    Run.seed gives as text, the number."""
    seeds = list(seeds)
    parts: list[list[int]] = []
    for seed in sorted(seed for seed in seeds if isinstance(seed, int)):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    names = [f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts]
    apart = sum(isinstance(seed, str) for seed in seeds)
    return ", ".join(names + ([f"{apart} whose three seeds differ"] if apart else []))
