"""The page holds every figure and table once, names what is missing, counts the runs, and is one
file of sound HTML."""

import base64
import re
import struct
from html.parser import HTMLParser

import pandas as pd
import pytest
from conftest import REPOSITORY

from analysis.report.__main__ import claims, report, run_rows
from analysis.report.page import anchor, to_html
from analysis.report.study import STUDY
from analysis.shared.reading import BadInput
from analysis.shared.tables import save_table

VOID = {"meta", "img"}
RUN = {
    "model": "checkpoint@1",
    "data": "mini@1",
    "task": "rte",
    "dtype": "float32",
    "pretrained": True,
    "failed": False,
    "diverged": False,
    "device": "cpu",
    "seconds": 1800.0,
    "python_version": "3.11.7",
    "torch_version": "2.13.0",
    "transformers_version": "5.23.0",
    "git_commit": "abc",
}


class Page(HTMLParser):
    """Reads HTML; fails where a tag is closed that is not the last one open."""

    def __init__(self, page: str):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def picture(name):
    """The start of a PNG of 1600 x 800 pixels, another one for each name."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 1600, 800) + name.encode()


@pytest.fixture
def results(tmp_path):
    """Five runs: two in two files, one failed, one diverged, two devices, two commits; a file of
    measurements; a sixth id in it."""

    def write(name, *rows):
        pd.DataFrame([{**RUN, **row} for row in rows]).to_csv(tmp_path / name, index=False)

    shared = [{"run": "0000000000012e45"}, {"run": "2", "failed": True}]
    write("bias_correction.csv", *shared, {"run": "3", "git_commit": "abc-dirty", "seconds": 900.0})
    write(
        "training_length.csv",
        *shared,
        {"run": "4", "failed": True, "diverged": True, "dtype": "bfloat16"},
        {"run": "5", "device": "some GPU", "seconds": 7200.0},
    )
    pd.DataFrame({"run": ["2", "6"], "norm": [1, 2]}).to_csv(
        tmp_path / "vanishing_gradients.csv", index=False
    )
    return tmp_path


@pytest.fixture
def figures(results):
    folder = results / "first"
    folder.mkdir()
    for name in ("bias_correction", "bias_correction_learning_rate", "training_length"):
        (folder / f"{name}.png").write_bytes(picture(name))
    for name in (
        "bias_correction",
        "bias_correction_tests",
        "generalization",
        "scorecard",
        "audit",
        "comparison",
        "stray",
    ):
        save_table(
            pd.DataFrame({"what": [f"cell of {name}", "1 < 2 & 3"], "n": [1.5, -2.0]}),
            folder / name,
            f"Title of {name}",
            f"Note of {name}.",
        )
    return folder


@pytest.fixture
def both(results, figures):
    """The page as Markdown and as HTML that was read."""
    markdown = report("mini", results, figures)
    return markdown, Page(to_html(markdown, figures))


def test_order_and_questions_are_those_of_run_all_and_of_the_readme():
    contents = (
        (REPOSITORY / "run_all.sh").read_text().split("study=(")[1].split("\n)")[0].splitlines()
    )
    listed = [
        re.fullmatch(r"  (\w+) +# (.+?)  +(.+)", line).groups()
        for line in contents
        if line and not line.startswith("#")
    ]
    assert [
        (experiment.name, experiment.question, experiment.paper) for experiment in STUDY
    ] == listed
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| ", readme, re.MULTILINE)
    assert [row for row in rows if row[0] not in ("mini", "small", "paper")] == listed


def test_same_bytes_twice_without_torch(results, figures, run_twice):
    (results / "second").mkdir()
    for path in figures.iterdir():
        (results / "second" / path.name).write_bytes(path.read_bytes())
    assert {"report.html", "report.md"} <= run_twice("report", results)
    first = (figures / "report.html").read_bytes(), (figures / "report.md").read_bytes()
    run_twice("report", results)  # its own output is no input
    assert first == ((figures / "report.html").read_bytes(), (figures / "report.md").read_bytes())
    assert str(results).encode() not in first[0] + first[1]


def test_every_figure_and_table_once(figures, both):
    markdown, page = both
    images = [image for image in page.all("img") if not image["alt"].startswith("Published")]
    assert len(page.all("img")) - len(images) == 2  # beside each main figure the paper's
    # in the order of the study, the main figure first
    assert [image["src"].split(",")[1] for image in images] == [
        base64.b64encode(picture(name)).decode()
        for name in ("bias_correction", "bias_correction_learning_rate", "training_length")
    ]
    assert all(
        image["alt"] and (image["width"], image["height"]) == ("960", "480") for image in images
    )
    for name in ("bias_correction", "bias_correction_learning_rate", "training_length"):
        assert markdown.count(f"]({name}.png)") == 1
    for path in figures.glob("*.csv"):
        for text in (markdown, "\n".join(page.text)):
            assert (
                len(re.findall(rf"cell of {path.stem}\b", text))
                == len(re.findall(rf"Note of {path.stem}\.", text))
                == 1
            )
    titles = re.findall(r"(?m)^## (.+)", markdown)
    assert titles == [
        "Contents",
        *(experiment.name.replace("_", " ").capitalize() for experiment in STUDY),
        "Scorecard",
        "Our runs beside the published ones",
        "Audit of the published numbers",
        "Other files of the folder",
        "Provenance",
    ]


def test_a_section_begins_with_what_the_first_screen_says_of_it(results, figures):
    row = {"claim": "correction_bert_rte_middle"}
    for side, verdict, failed in (("yours", "open", "2 and 0"), ("published", "holds", "43 and 1")):
        row |= {f"{side}_verdict": verdict, f"{side}_failed": failed, f"{side}_n": "5 and 5"}
        row |= {f"{side}_effect": "40"}
    row |= {"yours_why_open": "fewer than 20 runs in a group", "published_why_open": ""}
    pd.DataFrame([row]).to_csv(figures / "scorecard.csv", index=False)
    markdown = report("mini", results, figures)
    section = markdown.split("## Bias correction\n")[1].split("\n## ")[0]
    said = (
        "**open** (fewer than 20 runs in a group): failed without it 2, with it 0. Published:"
        " **yes**: failed without it 43, with"
    )
    assert f"These runs: {said} it 1." in section
    assert section.index("These runs: ") < section.index("![")
    assert "These runs: **" not in markdown.split("## Training length\n")[1]


def test_a_section_says_where_in_the_paper_it_stands(both):
    markdown, _ = both
    assert "correction make fine-tuning fail?** Paper: section 5.1, Figs 5, 6, 9." in markdown
    assert "Can a failing run be told early?** Not in the paper." in markdown
    assert "Paper: none" not in markdown


def test_what_an_earlier_call_drew_is_not_shown_for_an_empty_csv(results, figures):
    """The figure and table of bias_correction, and its second figure, but not training_length's."""
    (results / "bias_correction.csv").write_text("")
    markdown = report("mini", results, figures)
    assert "](bias_correction" not in markdown and "cell of bias_correction" not in markdown
    assert (
        "This experiment had nothing to draw: it had no such runs" in markdown
        and "](training_length.png)" in markdown
    )


def test_missing_experiments_are_named(both):
    markdown, _ = both
    assert "This experiment has not been run: `bash run_all.sh small_datasets`." in markdown
    assert "has not been run: `bash run_all.sh bias_correction`" not in markdown
    # vanishing_gradients: a CSV only
    assert markdown.count("This experiment has not been drawn: `bash run_all.sh figures`.") == 1
    assert (
        "what pre-training taught? (**has not been run**)" in markdown
        and "fine-tuning fail?\n" in markdown
    )


def test_one_file_that_reaches_for_nothing(both):
    _, page = both
    (script,) = page.all("script")
    assert not script and not page.all("link") and "@import" not in "".join(page.text)
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {link["href"] for link in page.all("a")} == {f"#{name}" for name in ids} - {"#contents"}
    assert "fetch(" not in "".join(page.text) and "XMLHttpRequest" not in "".join(page.text)
    assert not any(
        "http" in str(value)
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name != "src"
    )


def test_cells_are_escaped_and_numbers_aligned(both, figures):
    markdown, page = both
    html = to_html(markdown, figures)
    assert "<td>1 &lt; 2 &amp; 3</td>" in html and "1 < 2" not in html
    assert (
        '<td class="number">-2.00</td>' in html and '<th scope="col" class="number">n</th>' in html
    )
    odd = Page(
        to_html(
            "# a < b\n\n| x<y | `c` \\| **d** |\n|---|---|\n| <script> | -: [e](#f) |\n\n-: text\n-"
            " item & more\n",
            figures,
        )
    )
    assert (
        odd.all("th") == [{"scope": "col"}] * 2
        and len(odd.all("script")) == 1  # the page's own
        and [link["href"] for link in odd.all("a")] == ["#main", "#f"]
    )
    assert [name for name, _ in odd.tags if name in ("p", "li", "code", "strong")] == [
        "code",
        "strong",
        "p",
        "li",
    ]
    assert {"<script>", "a < b", "x<y", "-: text", "item & more"} <= set(odd.text)


def test_provenance_by_hand(both):
    markdown, _ = both
    rows = dict(re.findall(r"(?m)^\| (.+?) \| (.+) \|$", markdown.split("## Provenance")[1]))
    assert (rows["different runs"], rows["failed"], rows["diverged (failed too)"]) == (
        "5",
        "2",
        "1",
    )
    assert (
        rows["git commit"] == "abc (4), abc-dirty (1)"
        and rows["of a tree with uncommitted changes (-dirty)"] == "1"
    )
    assert (
        rows["device"] == "cpu (4), some GPU (1)" and rows["dtype"] == "float32 (4), bfloat16 (1)"
    )
    # three runs of 1800 s and one of 900 s on the CPU, one of 7200 s on the GPU
    assert (
        rows["computing time (wall time of the runs, summed)"]
        == "1.75 core hours on cpu, 2.00 hours on some GPU"
    )
    assert (
        rows["Python"] == "3.11.7 (5)"
        and rows["measured runs without such a row, not counted here"] == "1"
    )
    assert "**5 different runs, 2 of them failed**" in markdown


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "no evidence about BERT-large"),
        # not compared with the published runs' dtype
        ({"dtype": "bfloat16"}, "no evidence about BERT-large.**\n"),
        ({"model": "gte-small@1", "data": "glue@1"}, "Another model than the paper's"),
        (
            {"model": "google-bert/bert-large-uncased", "data": "nyu-mll/glue"},
            "The published setting",
        ),
        (
            {
                "model": "google-bert/bert-large-uncased",
                "data": "nyu-mll/glue",
                "dtype": "bfloat16",
            },
            "published runs were in float32",
        ),
        (
            {"model": "google-bert/bert-large-uncased", "data": "mini@1"},
            "no evidence about BERT-large",
        ),
    ],
)
def test_claims_follow_the_runs_and_not_the_profile(changes, expected):
    assert expected in claims("paper", pd.DataFrame([{**RUN, "run": "1", **changes}]))[0] + "\n"


def test_without_results(tmp_path, figures):
    markdown = report("small", tmp_path / "none", figures)
    assert (
        "no evidence about BERT-large" in markdown
        and "No CSV with rows of runs was found" in markdown
    )
    assert run_rows(tmp_path / "none")[0].empty


def test_bad_input(tmp_path, figures):
    with pytest.raises(BadInput, match="no folder"):
        report("mini", tmp_path, tmp_path / "none")
    (figures / "training_length.png").write_bytes(b"cut off")
    with pytest.raises(BadInput, match="training_length.png is no PNG"):
        to_html(report("mini", tmp_path, figures), figures)


def test_anchors_are_githubs():
    assert anchor("Our runs, beside (the) published ones") == "our-runs-beside-the-published-ones"
