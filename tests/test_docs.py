"""What the documents show is true: commands are understood, links lead somewhere, lines are short."""

import re
import shlex
from pathlib import Path

import pytest

from verse_eval.cli import command_line as eval_commands
from verse_infer import __version__
from verse_infer.cli import parser as infer_commands
from verse_train.cli import command_line as train_commands

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
#: Records, that grow by long entries.
RECORDS = {"CHANGELOG.md", "training-diary.md"}
PARSERS = {
    "-m verse_eval": eval_commands,
    "-m verse_train": train_commands,
    "entrypoint.py": infer_commands,
}
#: What stands for something of the reader's own, where the parser asks for one of a few words.
STANDS_FOR = {"--stage STAGE": "--stage spine_localisation"}


def code_of(document):
    """Lines of a document's code blocks, continued ones joined, options in [brackets] given."""
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    code = "".join(blocks).replace("\\\n", " ")
    for words, example in STANDS_FOR.items():
        code = code.replace(words, example)
    return re.sub(r"\[(--[^\]]*)\]", r"\1", code).splitlines()


def commands_of(document):
    """Every command of ours that a document shows: what is called, and its words."""
    for line in code_of(document):
        match = re.match(r"\S*python ((?:-m )?\S+)(.*)", line)
        if match and match[1] in PARSERS:
            yield match[1], shlex.split(match[2], comments=True)


SHOWN = [(path.name, *command) for path in DOCUMENTS for command in commands_of(path)]


@pytest.mark.parametrize(("document", "called", "words"), SHOWN)
def test_a_command_shown_is_understood(document, called, words):
    assert PARSERS[called]().parse_args(words), document


def test_evaluation_is_shown_from_scores_to_report():
    words = [w[0] for name, called, w in SHOWN if name == "evaluation.md" and "eval" in called]
    assert words == ["score", "rank", "report"]


def test_every_command_of_training_is_shown():
    (choices,) = (a.choices for a in train_commands()._actions if a.choices)
    shown = {words[0] for _, called, words in SHOWN if called == "-m verse_train"}
    assert shown >= set(choices) - {"phantom"}  # `make run` makes the sample


def test_every_target_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        named = re.findall(r"`make ([a-z-]+)", text) + [
            match[1] for line in code_of(document) if (match := re.match(r"make ([a-z-]+)", line))
        ]
        assert set(named) <= targets, document.name


def test_every_module_of_the_container_is_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for path in (ROOT / "verse_infer").iterdir():
        if path.suffix == ".py" or (path / "__init__.py").exists():
            assert path.stem == "__init__" or f"`{path.stem}`" in text, path.stem


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
        if not target.startswith("https://"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if d.name not in RECORDS], ids=lambda path: path.name
)
def test_prose_is_at_most_100_characters_wide(document):
    lines = document.read_text("utf-8").splitlines()
    assert [line for line in lines if len(line) > 100 and not line.startswith("|")] == []


def test_the_readme_fits_on_a_few_screens():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_every_page_is_linked_somewhere():
    pages = [*DOCUMENTS, ROOT / "weights" / "MODEL_CARD.md"]
    for page in ROOT.glob("docs/*.md"):
        others = "".join(other.read_text("utf-8") for other in pages if other != page)
        assert f"{page.name})" in others, page.name


def test_the_citation_is_of_this_version():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
