"""The lessons as documents and as rows: ``gradscope.explain.…`` in JSON, one number a row in CSV
and Markdown.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.explain.backprop import BackpropLesson
from gradscope.explain.bptt import BpttLesson, StepGradient, Term
from gradscope.explain.vanishing import ProductLesson
from gradscope.explain.verdict import VerdictLesson
from gradscope.report.formats import Document, finite, head, numbers
from gradscope.report.words.cells import has_textbook_bound
from gradscope.report.words.numbers import LN_10

Table = tuple[tuple[str, ...], list[list[Any]]]


def backprop_document(lesson: BackpropLesson) -> Document:
    """Return values, adjoints, edges and the step downhill."""
    leaves = {name: lesson.values[name] for name in "xyz"}
    return {
        **head("explain.backprop", {**leaves, "learning_rate": lesson.learning_rate}),
        "values": dict(lesson.values),
        "gradient": {name: lesson.adjoints[name] for name in "xyz"},
        "adjoints": dict(lesson.adjoints),
        "edges": [
            {
                "later": edge.later,
                "earlier": edge.earlier,
                "slope": edge.slope,
                "adjoint": edge.adjoint,
                "share": edge.share,
            }
            for edge in lesson.edges
        ],
        "x_moved": {**lesson.x_moved.leaves, "f": lesson.x_moved.f},
        "all_moved": {**lesson.all_moved.leaves, "f": lesson.all_moved.f},
    }


def backprop_table(lesson: BackpropLesson) -> Table:
    """Return one row per node: its value and ∂f/∂node, and the leaves after one step."""
    rows = [
        [name, value, lesson.adjoints[name], lesson.all_moved.leaves.get(name)]
        for name, value in lesson.values.items()
    ]
    return ("node", "value", "slope_of_f", "after_one_step"), rows


def bptt_document(lesson: BpttLesson, settings: Mapping[str, Any]) -> Document:
    """Return the network and every factor of every term."""
    params = lesson.params
    return {
        **head("explain.bptt", settings),
        "network": {name: array.tolist() for name, array in params.weights()},
        "steps": [_step(lesson, each) for each in lesson.steps],
        "summed": _lists(lesson.summed),
        "bptt": _lists(lesson.swept),
        "largest_relative_difference": lesson.deviation,
    }


def _step(lesson: BpttLesson, each: StepGradient) -> Document:
    cell_trajectory, place = lesson.trajectory, each.step - 1
    return {
        "step": each.step,
        "input": cell_trajectory.inputs[place, 0].tolist(),
        "hidden": cell_trajectory.hidden[each.step, 0].tolist(),
        "output": cell_trajectory.outputs[place, 0].tolist(),
        "target": lesson.targets.values[place, 0].tolist(),
        "error": each.error,
        "error_by_output": each.output_slope.tolist(),
        "gradient": _lists(each.gradients),
        "terms": [_term(term) for term in each.terms],
    }


def _term(term: Term) -> Document:
    return {
        "earlier": term.earlier,
        "lag": term.later - term.earlier,
        "transport": term.transport.tolist(),
        "adjoint": term.adjoint.tolist(),
        "immediate": {"W": term.immediate_w.tolist(), "U": term.immediate_u.tolist()},
        "share": {"W": term.share_w.tolist(), "U": term.share_u.tolist()},
    }


def _lists(arrays: Mapping[str, FloatArray]) -> Document:
    return {name: array.tolist() for name, array in arrays.items()}


def bptt_table(lesson: BpttLesson) -> Table:
    """Return one row per entry of every factor and term of every step."""
    rows = []
    for each in lesson.steps:
        rows += [[each.step, None, *cell] for cell in _cells("error_by_output", each.output_slope)]
        for term in each.terms:
            for name, array in _factors(term):
                rows += [[each.step, term.earlier, *cell] for cell in _cells(name, array)]
        for name, array in each.gradients.items():
            rows += [[each.step, None, *cell] for cell in _cells(f"gradient_{name}", array)]
    return ("t", "k", "quantity", "row", "column", "value"), rows


def _factors(term: Term) -> Iterator[tuple[str, FloatArray]]:
    yield "transport", term.transport
    yield "adjoint", term.adjoint
    yield "immediate_W", term.immediate_w
    yield "share_W", term.share_w
    yield "immediate_U", term.immediate_u
    yield "share_U", term.share_u


def _cells(name: str, array: FloatArray) -> Iterator[list[Any]]:
    for (row, column), value in np.ndenumerate(np.atleast_2d(array)):
        yield [name, row + 1, column + 1, float(value)]


def vanishing_document(lessons: Sequence[ProductLesson], settings: Mapping[str, Any]) -> Document:
    """Return every network's factors, products and bounds by lag, as log10."""
    return {**head("explain.vanishing", settings), "networks": [_product(each) for each in lessons]}


def _product(lesson: ProductLesson) -> Document:
    return {
        "activation": str(lesson.activation),
        "slope_ceiling": lesson.slope_ceiling,
        "log10_weight_norm": lesson.log_weight_norm / LN_10,
        "rate_nats_per_step": finite(lesson.rate),
        "first_lag_below_threshold": lesson.horizon,
        "first_lag_of_exact_zero_in_float64": lesson.zero_lag,
        "first_lag_of_overflow_in_float64": lesson.infinite_lag,
        "lags": lesson.lags.tolist(),
        "log10_factor": numbers(lesson.log_factors / LN_10),
        "log10_norm": numbers(lesson.log_norms / LN_10),
        "log10_factor_product": numbers(lesson.log_factor_products / LN_10),
        "log10_bound": numbers(lesson.log_bound / LN_10),
    }


def vanishing_table(lessons: Sequence[ProductLesson]) -> Table:
    """Return one row per activation and lag."""
    columns = ("log10_factor", "log10_norm", "log10_factor_product", "log10_bound")
    rows = []
    for document in (_product(each) for each in lessons):
        for lag, *values in zip(document["lags"], *(document[c] for c in columns), strict=True):
            rows.append([document["activation"], lag, *values])
    return ("activation", "lag", *columns), rows


def verdict_document(lesson: VerdictLesson) -> Document:
    """Return each number of the verdict with those behind it."""
    tail, stored = lesson.tail, lesson.stored
    return {
        **head("explain.verdict", lesson.settings.as_dict()),
        "stage": str(lesson.stage),
        "regime": str(lesson.regime),
        "rate_nats_per_step": finite(lesson.rate),
        "rate_between": None
        if tail is None
        else {
            "lags": list(tail.lags),
            "nats": [finite(each) for each in tail.log_norms],
            "sequences": tail.sequences,
            "of": tail.of,
        },
        "rate_null_because": "the product is exactly zero" if tail is None else None,
        "horizon": lesson.horizon,
        "required_lag": lesson.required_lag,
        "causes": asdict(lesson.causes),
        "bound_rate_nats_per_step": finite(lesson.bound_rate),
        "log_slope_ceiling": math.log(lesson.slope_ceiling),
        **_weight_norm(lesson),
        "error": lesson.learned and finite(lesson.learned.error),
        "baseline": lesson.learned and lesson.learned.baseline,
        "thresholds": asdict(lesson.thresholds),
        "in_the_file": None
        if stored is None
        else {
            "regime": str(stored.regime),
            "rate_nats_per_step": finite(stored.rate),
            "horizon": stored.horizon,
        },
    }


def _weight_norm(lesson: VerdictLesson) -> Document:
    plain = has_textbook_bound(lesson.settings)
    value = finite(lesson.log_weight_norm) if plain else None
    why = "W is zero" if plain else "the bound has other terms: a leak, or gates"
    return {
        "log_weight_norm": value,
        "log_weight_norm_null_because": why if value is None else None,
    }


def verdict_table(lesson: VerdictLesson) -> Table:
    """Return one row per number of the verdict."""
    document = verdict_document(lesson)
    flat: list[list[Any]] = []
    for name, value in document.items():
        if name in ("schema", "version", "gradscope", "settings", "environment"):
            continue
        if isinstance(value, dict):
            flat += [[f"{name}.{key}", _cell(each)] for key, each in value.items()]
        else:
            flat.append([name, value])
    return ("quantity", "value"), flat


def _cell(value: Any) -> Any:
    return " ".join(str(each) for each in value) if isinstance(value, list) else value
