"""Arithmetic on named arrays: NumPy's and PyTorch's numbers, names of any spelling, and one line
for whatever has no meaning.
"""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.errors import WeightsError
from gradscope.weights.layers import manual_names
from gradscope.weights.layers.manual_names import LONGEST, Expression
from gradscope.weights.load import load_weights

RNG = np.random.default_rng(1)
M, N, G = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 2)), RNG.normal(size=(5, 8))
STACK, MASK = RNG.normal(size=(3, 5, 5)), RNG.normal(size=(5, 1))
ARRAYS: dict[str, Any] = {
    "m": M,
    "n": N,
    "i2h.weight": G,
    "a b/c-d:0": M,
    "W_all": STACK,
    "x.T": N,
    "x": M,
    "7": MASK,
    "W'é\"": N,
    "m.n": G,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("m", M),
        ("m @ n.T / 100", M @ N.T / 100),
        ("i2h.weight[:, 3:]", G[:, 3:]),
        ("i2h.weight[:, :3].T", G[:, :3].T),
        ("i2h.weight[-2:, ::2]", G[-2:, ::2]),
        ("i2h.weight.T[3:].T", G[:, 3:]),
        ("W_all[1]", STACK[1]),
        ("W_all[-1][:, 0]", STACK[-1][:, 0]),
        ("W_all[0, 1:3, 2]", STACK[0, 1:3, 2]),
        ("-(m+n)*2 - 1e-1*m", -(M + N) * 2 - 0.1 * M),
        ("m@n.T*7", M @ N.T * 7),
        ("7", MASK),
        ("a b/c-d:0 + m", 2 * M),
        ("a b/c-d:0.T", M.T),
        ("x.T", N),
        ("x.T.T", N.T),
        ("(x).T", M.T),
        ("W'é\" - m", N - M),
        ("m.n[:, 1:]", G[:, 1:]),
        (" 0.5 * m ", M / 2),
    ],
)
def test_an_expression_is_what_numpy_makes_of_it(text: str, value: Any) -> None:
    np.testing.assert_array_equal(Expression(text, ARRAYS).value, value)


def test_the_names_are_those_it_mentions_in_order() -> None:
    assert Expression("n @ m.T + W_all[0]", ARRAYS).names == ["n", "m", "W_all"]


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        (
            "i2h.weigth[:, 3:]",
            "'i2h.weigth' names no array of the file; did you mean 'i2h.weight'?",
        ),
        ("m.weight", "'m.weight' names no array"),
        ("mm", "'mm' names no array"),
        ("m @ n + m", "'m @ n' does not fit the shape (5, 2) and (5, 2)"),
        ("m + i2h.weight", "'m + i2h.weight' does not fit the shape (5, 2) and (5, 8)"),
        ("W_all[3] + 1", "'W_all[3]' does not fit the shape (3, 5, 5)"),
        ("m[0, 0, 0]", "'m[0, 0, 0]' does not fit the shape (5, 2)"),
        ("m[:, n]", "'m[:, n]' does not fit"),
        ("m[1.5]", "'m[1.5]' does not fit"),
        ("m[::0]", "'m[::0]' does not fit"),
        ("m @ 2", "'m @ 2' does not fit"),
        ("1 / 0 * m", "'1 / 0' does not fit the shape of a number"),
        ("3[1]", "'3[1]' does not fit"),
        ("m ** 2", "'m ** 2' is none of names"),
        ("m // 2", "'m // 2' is none of names"),
        ("m(n)", "'m(n)' is none of names"),
        ("[m]", "'[m]' is none of names"),
        ("m[1e999]", "'m[1e309]' does not fit"),
        ("m, n", "is no array within"),
        ("m, i2h.weight", "does not fit the shape (5, 2) and (5, 8)"),
        ("3", "is no array within"),
        ("9" * 400, "is no array within"),
        ("9" * 400 + " * m", "does not fit"),
        ("m.n.real", "'m.n.real' names no array"),
        ("m if n else m", "'if' names no array"),
        ("m, n =", "'=' names no array"),
        ("__import__('os').system('x')", "'__import__' names no array"),
        ("_0", "'_0' names no array"),
        ("m n", "is no array within"),
        ("m[:, 3", "is no array within"),
        ("(" * 250 + "m" + ")" * 250, "is no array within"),
        ("", "is no array within"),
        ("-" * LONGEST + "m", "is no array within"),
        ("-" * (LONGEST - 1) + "m", "is no array within"),
        ("m" + " + m" * LONGEST, "is no array within"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_piece(text: str, piece: str) -> None:
    with pytest.raises(WeightsError) as caught:
        Expression(text, ARRAYS)

    assert piece in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_what_is_too_large_is_not_made() -> None:
    tall = np.zeros((20_000, 1))

    for text in ("u @ u.T", "u + u.T", "u * u.T[:, :]"):
        with pytest.raises(WeightsError, match=r"makes \(20000, 20000\), more than"):
            Expression(text, {"u": tall})


def test_the_walk_has_no_way_to_code() -> None:
    source = ast.parse(Path(manual_names.__file__).read_text("utf-8"))
    called = {
        n.func.id
        for n in ast.walk(source)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }

    assert called.isdisjoint({"eval", "exec", "compile", "__import__"})


PIECES = st.sampled_from([*ARRAYS, *"@*/+-()[]:,.T0123456789e _='\"\\", "lambda", "\x1b", "\n"])


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=20))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        value = Expression(text, ARRAYS).value
    except WeightsError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert isinstance(value, np.ndarray)


@pytest.mark.torch
def test_one_linear_on_inputs_and_state_is_the_network_of_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch writes the file and steps the cell")

    import gradscope

    torch.manual_seed(0)
    linear = torch.nn.Linear(3 + 5, 5).double()
    torch.save({"i2h.weight": linear.weight, "i2h.bias": linear.bias}, tmp_path / "cell.pt")
    x = torch.randn(6, 1, 3, dtype=torch.float64)
    np.save(tmp_path / "x.npy", x.numpy())
    pairs = ("W=i2h.weight[:, 3:]", "U=i2h.weight[:, :3]", "b=i2h.bias")
    values = {"weights": str(tmp_path / "cell.pt"), "weight_map": pairs, "activation": "tanh"}

    found = gradscope.analyze({**values, "leak": 1.0, "data": str(tmp_path / "x.npy")})

    def run(first: Any) -> Any:
        h = first
        for step in x[1:, 0]:
            h = torch.tanh(linear(torch.cat([step, h])))
        return h

    first = torch.tensor(found.trajectory.states[1, 0])
    jacobian = torch.func.jacrev(run)(first).detach().numpy()
    np.testing.assert_allclose(found.trajectory.states[-1, 0], run(first).detach(), atol=1e-14)
    largest = np.log(np.linalg.norm(jacobian, 2))
    assert found.last.profile.log_norms[4, 0] == pytest.approx(largest, abs=1e-9)


def test_a_low_rank_network_is_the_product_of_its_factors(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", m=M, n=N, wi=G)

    (layer,) = load_weights(tmp_path / "net.npz", ["W=m @ n.T / 5", "U=wi[:, :3]"]).layers

    np.testing.assert_array_equal(layer.recurrent_weights, M @ N.T / 5)
    np.testing.assert_array_equal(layer.input_weights, G[:, :3])
    assert (layer.name, layer.title) == ("m", "m[0]")
