"""Every term that a report uses has an entry, and is found however it is spelled."""

import re
from collections.abc import Iterator
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.errors import SettingError
from gradscope.explain.glossary import LESSONS, TERMS, find_term, term_key
from gradscope.jacobians.singular_values import SingularValues
from gradscope.names import CellName, Regime
from gradscope.report.figures.panels import PANELS
from gradscope.report.screen import to_ascii
from gradscope.report.terminal.sweep import COMPARISON_TITLES
from gradscope.report.words.cells import CAUSE_LABELS, CAUSE_TITLES
from gradscope.report.words.theory import THEORY_WORDS

DESIGN_TERMS = (
    "pre-activation",
    "hidden state",
    "output",
    "weights",
    "step error",
    "loss",
    "slope",
    "Jacobian",
    "transport",
    "lag profile",
    "growth rate",
    "memory horizon",
    "Lyapunov exponents",
    "lag share",
    "bound",
    "nats",
    "misalignment",
    "saturation",
    "slope ceiling",
    "certificate",
    "required lag",
    "truncation length",
    "mean field",
    "clipping",
    "σ_max",
    "baseline",
    "sum rule",
)
TABLE_TERMS = (
    ["gradient norm", "∂E/∂θ‖"][0],
    "error per step",
    "its baseline",
    "the task needs",
    "its bound",
    "updates clipped",
    "5 % … 95 % of sequences",
)


NO_TERMS = ("lags", "log_values")

CLOSER_TERMS = (
    "spectrum",
    "Lyapunov exponents",
    "exponent",
    "standard error",
    "trusted",
    "chaos",
    "Kaplan–Yorke dimension",
    "entropy rate",
    "sum rule residual",
    "singular values",
    "log10 σ_1/σ_S",
    "condition number",
    "stable rank",
    "participation ratio",
    "spectral radius",
    "theory beside measurement",
    "mean field",
    "depth scale",
    "truncation length",
    "truncation error",
    "error if cut here",
    "cancellation",
    "heat map",
    "verification",
    "95 % interval",
    "measured growth rate",
    "nats per time constant τ",
    "leak",
    "forget bias",
    "memory capacity",
    "forecast",
    "try",
    "flossing",
    "Ω",
    "chrono biases",
    "keep bias",
)
"""What the page of ``spectrum`` and the closer looks of ``analyze`` speak of."""


def used_terms() -> Iterator[str]:
    yield from DESIGN_TERMS
    yield from TABLE_TERMS
    yield from CLOSER_TERMS
    yield from (name for name in PANELS if name != "training")
    yield from (words.split(",")[0] for words in THEORY_WORDS.values())
    yield from (each.name for each in fields(SingularValues) if each.name not in NO_TERMS)
    yield from Regime
    yield from CellName
    yield from CAUSE_TITLES
    yield from (title.split(",")[0] for title in CAUSE_TITLES.values())
    yield from CAUSE_LABELS.values()
    for title in COMPARISON_TITLES:
        if title not in {"steps", "learned", "network"}:
            yield title.split(",")[0].split("/")[0].replace("\n", " ")


@pytest.mark.parametrize("name", dict.fromkeys(used_terms()))
def test_every_term_that_a_report_uses_is_explained(name: str) -> None:
    term = find_term(name)

    assert all((term.definition, term.formula, term.reading, term.source))


def test_every_name_stands_once_and_no_spelling_leads_to_two_terms() -> None:
    seen: dict[str, str] = {}
    for term in TERMS:
        names = (term.name, *term.others)
        assert len(set(names)) == len(names)
        for name in names:
            assert find_term(name) is term, name
            assert seen.setdefault(term_key(name), term.name) == term.name


def test_every_entry_is_complete_and_refers_to_entries_that_exist() -> None:
    references = 0
    for term in TERMS:
        texts = (term.definition, term.formula, term.reading, term.source)
        assert all(text.strip() == text and text for text in texts), term.name
        for reference in re.findall(r"explain ([^,;.`]+)", " ".join(texts)):
            references += 1
            if reference.split()[0] not in {name.split()[0] for name in LESSONS}:
                find_term(reference)
    assert references >= 10


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_a_definition_is_one_sentence_and_a_formula_one_line(term: object) -> None:
    entry = next(each for each in TERMS if each is term)

    assert entry.definition.endswith(".")
    assert ". " not in entry.definition
    assert len(entry.formula) <= 78
    for text in (entry.name, entry.definition, entry.formula, entry.reading, entry.source):
        assert "?" not in to_ascii(text)


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("MEMORY HORIZON", "memory horizon"),
        ("memory_horizon", "memory horizon"),
        ("Lag-Profile", "lag profile"),
        ("sigma max", "σ_max"),
        ("γ", "slope ceiling"),
        ("kaplan-yorke", "Kaplan–Yorke dimension"),
        ("lyapunov", "Lyapunov exponent"),
        ("lyapunof", None),
        ("E_t", "step error"),
    ],
)
def test_spelling_does_not_matter_but_the_word_does(spelled: str, name: str | None) -> None:
    if name is not None:
        assert find_term(spelled).name == name
        return
    with pytest.raises(SettingError, match="did you mean Lyapunov exponent"):
        find_term(spelled)


def test_a_near_miss_is_offered_and_nonsense_is_sent_to_the_list() -> None:
    with pytest.raises(SettingError, match="did you mean memory horizon"):
        find_term("memory horizn")
    with pytest.raises(SettingError, match="there is no term 'xqzzq'; gradscope explain lists all"):
        find_term("xqzzq")


@given(st.text(max_size=30))
def test_any_text_finds_a_term_or_is_refused_in_one_line(text: str) -> None:
    try:
        found = find_term(text)
    except SettingError as refused:
        message = str(refused)
    else:
        message = found.name
    assert "\n" not in message
