"""Documents: finite JSON, CSV with a stable column order, Markdown that no cell can break."""

import csv
import io
import json
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.analysis.check import CheckRow
from gradscope.analysis.checkpoints import Checkpoint
from gradscope.analysis.results import Analysis, Comparison
from gradscope.arrays import LN_10, plain
from gradscope.report.documents.analysis import (
    analysis_document,
    check_document,
    comparison_document,
    training_document,
)
from gradscope.report.documents.rows import (
    CELL_COLUMNS,
    check_rows,
    checkpoint_rows,
    comparison_rows,
    profile_rows,
)
from gradscope.report.formats import to_csv, to_json, to_markdown
from gradscope.report.screen import printable
from tests.present import present


def parsed(document: Any) -> Any:
    """Return what a reader of the JSON text gets; NaN and Infinity are refused."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    return json.loads(to_json(document), parse_constant=refuse)


def test_column_orders_are_a_promise(analysis: Analysis) -> None:
    profile = ["stage", "lag", "log10_p05", "log10_median", "log10_p95", "log10_bound"]
    cell = ["activation", "steps", "stage", "regime", "rate_nats_per_step", "horizon"]
    cell += ["required_lag", "log10_norm_at_last_lag", "error", "baseline", "cell"]
    cell += ["rate_nats_per_second", "rate_nats_per_time_constant", "seed", "file"]
    cell += ["write_level"]

    assert list(profile_rows(analysis)[0]) == profile
    assert list(CELL_COLUMNS) == cell
    assert checkpoint_rows(analysis, [])[0] == (
        "update",
        "error_per_step",
        "gradient_norm",
        "horizon",
    )
    assert check_rows([])[0] == ("quantity", "against", "deviation", "tolerance", "passed")


def test_every_analysis_is_a_finite_document(analysis: Analysis) -> None:
    document = parsed(analysis_document(analysis))

    assert list(document)[:4] == ["schema", "version", "gradscope", "settings"]
    assert document["settings"] == parsed(analysis.settings.as_dict())
    assert [each["stage"] for each in document["stages"]] == [
        str(stage.name) for stage in analysis.stages
    ]


def test_every_training_document_is_finite(analysis: Analysis) -> None:
    seen = [Checkpoint(1, math.inf, math.nan, None)]

    document = parsed(training_document(analysis, seen))

    assert document["schema"] == "gradscope.training"
    assert document["checkpoints"][0]["gradient_norm"] is None


def test_a_comparison_document_holds_rows_and_whole_analyses(
    analyses: dict[str, Analysis],
) -> None:
    comparison = Comparison((analyses["trained"], analyses["exactly zero"]), interrupted=True)

    document = parsed(comparison_document(comparison))

    assert document["interrupted"] is True
    assert "activation" not in document["settings"]
    assert [list(cell) for cell in document["cells"]] == [list(CELL_COLUMNS)] * 3
    assert document["analyses"][1] == parsed(analysis_document(analyses["exactly zero"]))


def test_log10_norms_are_nats_over_ln_10(analyses: dict[str, Analysis]) -> None:
    stage = analyses["trained"].last
    profile = analysis_document(analyses["trained"])["stages"][-1]["profile"]

    np.testing.assert_allclose(
        np.array(profile["log10_norm"]["median"]) * LN_10, stage.profile.median, rtol=1e-12
    )
    np.testing.assert_allclose(
        np.array(profile["log10_bound"]) * LN_10, stage.profile.log_bound, rtol=1e-12, atol=1e-12
    )


def test_gradients_outside_float64_are_null_but_keep_their_logarithm(
    analyses: dict[str, Analysis],
) -> None:
    import dataclasses

    trained = analyses["trained"]
    gradient = dataclasses.replace(
        present(trained.last.gradient), log_by_step=np.array([-np.inf, -2000.0, 0.0, 2000.0])
    )
    last = dataclasses.replace(trained.last, gradient=gradient)
    document = analysis_document(dataclasses.replace(trained, stages=(last,)))

    found = parsed(document)["stages"][0]["gradient"]
    assert found["by_step"] == [0.0, None, 1.0, None]
    assert found["log10_by_step"] == [None, -2000.0 / LN_10, 0.0, 2000.0 / LN_10]
    assert found["by_step_null_because"] == "outside float64; see log10_by_step"
    assert found["log10_by_step_null_because"] == "no error reaches the state"


def test_rows_agree_with_their_columns(analysis: Analysis) -> None:
    seen = [Checkpoint(1, 2.0, 3.0, 4)]
    comparison = Comparison((analysis,))

    columns, rows = profile_rows(analysis)
    assert {len(row) for row in rows} == {len(columns)}
    for named, cells in (comparison_rows(comparison), checkpoint_rows(analysis, seen)):
        assert {len(row) for row in cells} == {len(named)}
    lags = sum(stage.profile.lags.size for stage in analysis.stages)
    assert len(rows) == lags


def test_a_check_document_says_whether_all_passed() -> None:
    rows = [CheckRow("a", "b", 1e-9, 1e-6), CheckRow("c", "d", math.nan, 1e-6)]

    document = parsed(check_document(rows, {"seed": 0}))

    assert document["passed"] is False
    assert document["checks"][1] == {
        "quantity": "c",
        "against": "d",
        "deviation": None,
        "tolerance": 1e-6,
        "passed": False,
    }
    assert parsed(check_document(rows[:1], {}))["passed"] is True


def test_what_json_cannot_hold_is_none_and_never_slips_through() -> None:
    assert [plain(each) for each in (1.5, math.inf, -math.inf, math.nan, None)] == [
        *(1.5, None, None, None, None)
    ]
    assert plain(np.array([0.5, -np.inf])) == [0.5, None]
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"rate": math.nan})


CELLS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")),
    st.integers(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=4))
def test_csv_reads_back_as_it_was_written_but_for_what_attacks(rows: list[tuple[Any, Any]]) -> None:
    text = to_csv(("a,b", 'c"d'), rows)

    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read[0] == ["a,b", 'c"d']
    assert read[1:] == [[_harmless(cell) for cell in row] for row in rows]


def _harmless(cell: Any) -> str:
    if not isinstance(cell, str):
        return "" if cell is None else str(cell)
    return "'" * (cell[:1] in tuple("=+-@")) + printable(cell)


@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=4))
def test_markdown_has_one_line_a_row_and_as_many_cells_as_columns(
    rows: list[tuple[Any, Any]],
) -> None:
    lines = to_markdown(("a", "b"), rows).split("\n")

    assert lines[-1] == ""
    assert len(lines) == len(rows) + 3
    for line in lines[:-1]:
        assert len(re.findall(r"(?<!\\)\|", line)) == 3, line
