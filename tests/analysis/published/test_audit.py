"""The audit of the published statistics: it finds what the points show, by computing, and what
agrees agrees."""

import pytest

from analysis.published.audit import audit, read_published, sum_up


@pytest.fixture(scope="module")
def table():
    return audit(*read_published())


def rows(table, place, verdict=None, **which):
    table = table[table["published in"] == place]
    for column, value in which.items():
        table = table[table[column.replace("_", " ")] == value]
    return table if verdict is None else table[table["verdict"] == verdict]


def test_the_mrpc_mean_is_the_median(table):
    stated = rows(table, "Mosbach v3, Table 1", kind="stated")
    found = stated[stated["verdict"] == "differs"]
    assert (
        len(found) == 1
        and "MRPC, Ours" in found["setting"].iloc[0]
        and found["statistic"].iloc[0] == "mean"
    )
    assert (
        found["recomputed"].iloc[0] == pytest.approx(90.14, abs=0.01)
        and found["remark"].iloc[0] == "their median is 90.31"
    )
    # 27 numbers in Fig. 1, and RTE's default and proposed rows again in Fig. 9
    assert len(stated) == 33 and set(stated["verdict"]) == {"agrees", "differs"}


def test_levene_is_not_reproduced_on_rte(table):
    tests = rows(table, "Mosbach v3, Table 1 / Sec. 6").set_index(["setting", "remark"])
    p = {
        (setting.split(",")[0], remark): row["recomputed"]
        for (setting, remark), row in tests.iterrows()
    }
    assert p == {
        ("RTE", "mean-centred, against Devlin"): pytest.approx(0.086, abs=5e-4),
        ("RTE", "median-centred, against Devlin"): pytest.approx(0.166, abs=5e-4),
        ("MRPC", "mean-centred, against Lee"): pytest.approx(4.6e-7, rel=0.02),
        ("MRPC", "median-centred, against Lee"): pytest.approx(0.0021, abs=5e-5),
        ("CoLA", "mean-centred, against Lee"): pytest.approx(6.3e-5, rel=0.02),
        ("CoLA", "median-centred, against Lee"): pytest.approx(0.056, abs=5e-4),
    }
    assert (
        tests["verdict"] == ["agrees" if x < 0.001 else "differs" for x in tests["recomputed"]]
    ).all()


def test_numbers_of_runs(table):
    seeds = rows(table, "Mosbach v3, Table 3")
    assert len(seeds) == 54
    other = seeds[seeds["verdict"] == "differs"].set_index("remark")["recomputed"].to_dict()
    assert other == {
        "Fig. 1: CoLA, Lee, 2e-5, 3 epochs": 20,
        "Fig. 1: MRPC, Lee, 2e-5, 3 epochs": 20,
        "Fig. 1: RTE, Lee, 2e-5, 3 epochs": 20,
        "Fig. 9: RTE, 2e-5, 3 epochs, with bias correction": 26,
    }
    models = rows(table, "Mosbach v3, Fig. 8b / Sec. 5.2").iloc[0]
    assert (models["verdict"], models["published"], models["recomputed"]) == ("differs", 450, 451)


def test_failed_runs_where_none_are_stated(table):
    failed = rows(table, "Mosbach v3, Sec. 4.2").set_index("setting")
    mrpc = failed[failed.index.str.startswith("MRPC")].iloc[0]
    assert (mrpc["verdict"], mrpc["recomputed"], mrpc["remark"]) == ("differs", 14, "of 25 runs")
    assert (failed[~failed.index.str.startswith("MRPC")]["verdict"] == "agrees").all() and len(
        failed
    ) == 3


def test_table_2_counts_the_header(table):
    data = rows(table, "Mosbach v3, Table 2")
    sizes = data[data["statistic"] != "majority_level"]
    assert set(sizes[sizes["verdict"] == "differs"]["setting"]) == {"RTE", "MRPC", "QNLI"}
    assert set(sizes[sizes["verdict"] == "differs"]["difference"]) == {-1}
    levels = data[data["statistic"] == "majority_level"].set_index("setting")["verdict"].to_dict()
    assert levels == {
        "RTE": "agrees",
        "MRPC": "differs",
        "CoLA": "agrees",
        "QNLI": "differs",
        "SciTail": "cannot be recomputed",
    }


def test_the_default_recipe_twice(table):
    again = table[table["kind"] == "other runs"].set_index("statistic")
    assert again["published"].to_dict() == {"std": 4.5, "mean": 50.9, "max": 67.5}
    assert (
        again["recomputed"]["std"] == pytest.approx(7.2, abs=0.05)
        and (again["verdict"] == "differs").all()
    )


def test_gradient_ratios(table):
    ratio = rows(table, "Mosbach v3, Sec. 5.1").set_index("remark")["recomputed"]
    assert ratio["layer 1"] == pytest.approx(4.0, abs=0.05) and ratio["layer 20"] == pytest.approx(
        1.2, abs=0.05
    )


def test_what_agrees(table):
    lee = rows(table, "Lee et al., Table 1")
    # STS-B is not in the figure
    assert lee["verdict"].value_counts().to_dict() == {"agrees": 6, "cannot be recomputed": 2}
    digitised = table[table["kind"] == "digitised"]
    assert not (digitised["verdict"] == "differs").any() and len(digitised) > 450
    v1 = rows(table, "Mosbach v1, Table 1")
    assert v1["verdict"].value_counts().to_dict() == {"agrees": 20, "cannot be recomputed": 16}
    assert set(rows(table, "Mosbach v3, Table 4")["verdict"]) == {"cannot be recomputed"}


def test_another_point_changes_the_verdict():
    runs, numbers = read_published()
    best = runs[
        (runs["locator"] == "Fig. 1") & (runs["task"] == "rte") & (runs["approach"] == "Ours")
    ]["score"].idxmax()
    runs.loc[best, "score"] = 0.9
    changed = rows(audit(runs, numbers), "Mosbach v3, Table 1", recomputed_from="runs of Fig. 1")
    changed = (
        changed[changed["setting"].str.startswith("RTE, Ours")]
        .set_index("statistic")["verdict"]
        .to_dict()
    )
    assert changed == {"max": "differs", "mean": "differs", "std": "differs"}


def test_one_failed_run_less_changes_the_count():
    runs, numbers = read_published()
    chosen = (runs["locator"] == "Fig. 3") & (runs["task"] == "mrpc") & (runs["epochs"] == 11)
    runs.loc[chosen, "score"] = 0.9
    changed = rows(audit(runs, numbers), "Mosbach v3, Sec. 4.2")
    assert set(changed["verdict"]) == {"agrees"}


def test_summary_shows_every_difference(table):
    summary = sum_up(table)
    assert (summary["verdict"] == "differs").sum() == (table["verdict"] == "differs").sum()
    assert summary["verdict"].iloc[0] == "differs" and len(summary) < 70


def test_same_bytes_without_torch(run_twice, tmp_path):
    assert run_twice("audit", tmp_path) == {"audit.csv", "audit.md"}
    assert "104743" in (tmp_path / "first" / "audit.md").read_text()
