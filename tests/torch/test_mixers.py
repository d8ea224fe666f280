"""The recurrences of state-space layers against the reference code of transformers."""

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.diagonal import DiagonalChain

torch = pytest.importorskip("torch", reason="PyTorch runs the models")
transformers = pytest.importorskip("transformers", reason="transformers has the models to study")
pytestmark = pytest.mark.torch

T, B, WORDS = 9, 2, 17
PRECISIONS = {"float32": 1e-6, "float64": 1e-12}
"""Largest difference of states of about 1 from those of the reference code."""

HEADS = {"num_attention_heads": 2, "head_dim": 4}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mamba": ("Mamba", {"state_size": 4, "time_step_rank": 3, "num_hidden_layers": 2}),
    "mamba2": (
        "Mamba2",
        {"state_size": 4, "head_dim": 4, "num_heads": 4, "n_groups": 1, "num_hidden_layers": 2},
    ),
    "recurrent_gemma": (
        "RecurrentGemma",
        {"lru_width": 8, "intermediate_size": 16, "num_hidden_layers": 3, **HEADS},
    ),
    "qwen3_next": (
        "Qwen3Next",
        {
            **HEADS,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "num_key_value_heads": 1,
            "linear_key_head_dim": 4,
            "linear_value_head_dim": 3,
            "num_hidden_layers": 4,
            "intermediate_size": 16,
            "mlp_only_layers": [0, 1, 2, 3],
        },
    ),
}
TITLES = {
    "mamba": ["layers.0.mixer", "layers.1.mixer"],
    "mamba2": ["layers.0.mixer", "layers.1.mixer"],
    "recurrent_gemma": [f"layers.{at}.temporal_block.rg_lru" for at in range(2)],
    "qwen3_next": [f"layers.{at}.linear_attn" for at in range(3)],
}


def modeling(kind: str) -> Any:
    return importlib.import_module(f"transformers.models.{kind}.modeling_{kind}")


def model_of(kind: str, dtype: Any = None) -> Any:
    name, sizes = KINDS[kind]
    torch.manual_seed(1)
    config = getattr(transformers, f"{name}Config")(vocab_size=WORDS, hidden_size=8, **sizes)
    model = getattr(transformers, f"{name}Model")(config)
    with torch.no_grad():
        for title, each in model.named_parameters():
            each.mul_(0.5).add_(0.3 * torch.randn(each.shape))
            if title.endswith("A_log"):
                each.sub_(2.0)  # Decays of all sizes.
    return model.to(dtype or torch.float64)


TOKENS = torch.randint(0, WORDS, (B, T), generator=torch.Generator().manual_seed(5))


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The reference code rounds to float32 in places even in a model of float64: not here."""

    def without_rounding(kind: str) -> None:
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
        wide = SimpleNamespace(**{**vars(torch), "float32": torch.float64})
        monkeypatch.setattr(modeling(kind), "torch", wide)
        if kind == "recurrent_gemma":
            scan = modeling(kind).RecurrentGemmaRglru._rnn_scan
            monkeypatch.setattr(scan, "__defaults__", (torch.float64,))

    return without_rounding


class Reference:
    """A mixer of transformers on the inputs that it has in its model: its own code and state."""

    def __init__(self, model: Any, kind: str, title: str) -> None:
        self.mixer, heard = model.get_submodule(title), []
        pre = self.mixer.register_forward_pre_hook(
            lambda _, args, kwargs: heard.append((args, kwargs)), with_kwargs=True
        )
        with torch.no_grad():
            model.eval()(TOKENS)
        pre.remove()
        (args, kwargs), self.cache = heard[0], transformers.DynamicCache(config=model.config)
        self.given = args[0] if args else kwargs["hidden_states"]
        self.positions = args[1] if kind == "recurrent_gemma" else None
        if self.positions is not None:
            self.mixer.recurrent_states = None

    def run(self, start: int, stop: int) -> None:
        """Run over some steps, from the state that there is."""
        given = self.given[:, start:stop]
        with torch.no_grad():
            if self.positions is None:
                self.mixer(given, cache=self.cache)
            else:
                self.mixer(given, self.positions[:, start:stop])

    @property
    def state(self) -> Any:
        """The state itself, to read and to change."""
        if self.positions is not None:
            return self.mixer.recurrent_states
        return self.cache.get_recurrent_state(self.mixer.layer_idx, state_idx=0)

    def folded(self, chain: Chain) -> FloatArray:
        """The state as the columns (N,S,V) that a chain multiplies."""
        found: FloatArray = (
            self.state.double().numpy().reshape(chain.n_sequences, chain.state_size, -1)
        )
        return found.copy()


def studied(model: Any, **options: Any) -> Any:
    from gradscope.torch.mixers import study_mixers

    return study_mixers(model, TOKENS, **options)


CASES = [(kind, precision) for kind in KINDS for precision in PRECISIONS]


@pytest.mark.parametrize(("kind", "precision"), CASES)
def test_factors_and_the_mixers_own_writes_give_its_state(
    kind: str, precision: str, exact: Callable[[str], None]
) -> None:
    if precision == "float64":
        exact(kind)
    model = model_of(kind, getattr(torch, precision))
    study = studied(model)

    assert [each.title for each in study.layers] == TITLES[kind]
    for layer in study.layers:
        reference = Reference(model, kind, layer.title)
        reference.run(0, T)
        wanted = reference.folded(layer.chain)
        stepped = Reference(model, kind, layer.title)
        # From a state of zero a step leaves what it writes.
        stepped.run(0, 1)
        state = stepped.folded(layer.chain)
        for step in range(1, T):
            stepped.state.zero_()
            stepped.run(step, step + 1)
            state = layer.chain.jacobian(step) @ state + stepped.folded(layer.chain)
        np.testing.assert_allclose(state, wanted, atol=PRECISIONS[precision])
        assert np.abs(state).max() > 0.01


@pytest.mark.parametrize(("kind", "precision"), CASES)
@pytest.mark.parametrize("lag", [1, 5])
def test_a_change_of_the_state_arrives_as_the_product_of_the_factors_says(
    kind: str, precision: str, lag: int, exact: Callable[[str], None]
) -> None:
    if precision == "float64":
        exact(kind)
    model = model_of(kind, getattr(torch, precision))
    for layer in studied(model).layers:
        chain, ends = layer.chain, []
        given = torch.randn(
            chain.n_sequences, chain.state_size, generator=torch.Generator().manual_seed(2)
        )
        for size in (0.0, 1.0):
            reference = Reference(model, kind, layer.title)
            for step in range(T):
                if step == T - lag:
                    columns = size * given[..., None].expand(reference.folded(chain).shape)
                    reference.state.add_(columns.reshape(reference.state.shape))
                reference.run(step, step + 1)
            ends.append(reference.folded(chain))
        wanted = given.double().numpy()[..., None]
        for step in range(chain.n_steps - lag + 1, chain.n_steps + 1):
            wanted = chain.jacobian(step) @ wanted
        changed = ends[1] - ends[0]
        np.testing.assert_allclose(changed, wanted + 0.0 * changed, atol=PRECISIONS[precision])


def test_a_document_that_begins_within_the_inputs_has_no_past() -> None:
    from gradscope.torch.mixers import study_mixers

    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4]])
    study = study_mixers(
        model_of("recurrent_gemma"), {"input_ids": TOKENS, "position_ids": positions}
    )

    for layer in study.layers:
        assert isinstance(layer.chain, DiagonalChain)
        zero = (layer.chain.factors == 0.0).all(axis=(1, 2))
        np.testing.assert_array_equal(np.flatnonzero(zero), [3])
        assert layer.held == 0.0
        assert layer.shut >= 1 / 8


@pytest.mark.parametrize("kind", ["mamba", "mamba2", "recurrent_gemma"])
def test_what_each_channel_holds_follows_from_its_factors(kind: str) -> None:
    study = studied(model_of(kind), required_lag=3)

    for layer in study.layers:
        factors = np.stack([np.asarray(layer.chain.factors[at]) for at in range(T - 1)])
        assert layer.chain.state_size == factors.shape[2]
        fall = -np.log(factors).sum(axis=0)
        np.testing.assert_allclose(layer.half_lives, np.log(2.0) * (T - 1) / fall)
        assert layer.held == np.mean(factors[-3:].prod(axis=0) >= 1e-3)
        assert layer.shut == np.mean(factors < 1e-3)
        assert layer.full == np.mean(factors > 1.0 - 1e-3)
        assert layer.half_life[0] == np.median(layer.half_lives)
        ends = np.log(factors.prod(axis=0).max(axis=-1))
        np.testing.assert_allclose(layer.diagnosis.norms.log_norms[-1], ends)
        assert layer.diagnosis.verdict.required_lag == 3


@pytest.mark.parametrize("lag", [2, T - 1])
def test_what_each_head_holds_follows_from_its_products(lag: int) -> None:
    for layer in studied(model_of("qwen3_next"), required_lag=lag).layers:
        chain, product, sizes = layer.chain, np.eye(layer.chain.state_size), []
        for step in range(T - 1, T - 1 - lag, -1):
            product = product @ chain.jacobian(step)
            sizes.append(np.sqrt(np.square(product).sum(axis=(1, 2)) / chain.state_size))
        values = np.linalg.svd(product, compute_uv=False)
        assert layer.held == np.mean(values >= 1e-3)
        for head, found in enumerate(layer.half_lives):
            below = [at for at in range(lag) if sizes[at][head] <= 0.5]
            at = below[0] if below else lag - 1
            wanted = np.log(2.0) * (at + 1) / -np.log(sizes[at][head])
            assert found == pytest.approx(wanted, rel=1e-9)


def test_the_answer_names_the_layer_that_holds_least_and_fits_80_columns() -> None:
    model = model_of("recurrent_gemma")
    with torch.no_grad():
        for at, level in enumerate((-6.0, 2.0)):
            model.get_submodule(TITLES["recurrent_gemma"][at]).recurrent_param.fill_(level)

    study = studied(model)
    first, table = str(study).split("\n\n")

    assert study.required_lag == T - 1
    assert [each.held for each in study.layers] == [1.0, 0.0]
    assert " ".join(first.split()) == f"{study.answer}."
    assert study.answer.startswith(TITLES["recurrent_gemma"][1])
    assert " 0 % " in study.answer
    assert len(table.split("\n")) == 1 + len(study.layers)
    assert max(map(len, str(study).split("\n"))) <= 80
    rows = table.split("\n")[1:]
    assert [row.split()[0] for row in rows] == ["layers.0.temporal_bl", "layers.1.temporal_bl"]
    assert repr(study.layers[0]).startswith("MixerLayer(title=layers.0.temporal_block.rg_lru, ")


def test_the_model_is_left_as_it_was() -> None:
    model = model_of("recurrent_gemma").train()
    model.layers[0].eval()
    kept = model.get_submodule(TITLES["recurrent_gemma"][1])
    kept.recurrent_states = before = torch.ones(B, 8)
    modes: list[bool] = []
    hook = kept.register_forward_hook(lambda module, *_: modes.append(module.training))

    studied(model)
    hook.remove()

    assert modes == [False]
    assert model.training
    assert not model.layers[0].training
    assert kept.recurrent_states is before
    assert not any(each._forward_hooks for each in model.modules())


def test_what_cannot_be_studied_is_one_line() -> None:
    from gradscope.torch.mixers import study_mixers

    model = model_of("mamba")
    with pytest.raises(SettingError, match="no mixer of MambaMixer"):
        study_mixers(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    for lag in (0, T):
        with pytest.raises(SettingError, match=f"lag is {lag}; choose 1 to {T - 1}"):
            studied(model, required_lag=lag)
    with pytest.raises(SettingError, match="one step"):
        study_mixers(model, TOKENS[:, :1])
    mask = torch.ones_like(TOKENS)
    mask[0, 0] = 0
    with pytest.raises(SettingError, match="padded"):
        study_mixers(model, {"input_ids": TOKENS, "attention_mask": mask})

    model.register_forward_hook(lambda module, given, _: module.forward(*given) and None)
    with pytest.raises(SettingError, match="was not run once"):
        study_mixers(model, TOKENS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_watch_sees_the_mixers_and_training_goes_on_as_without(kind: str) -> None:
    import gradscope.torch

    def trained(*, watched: bool) -> tuple[Any, Any]:
        torch.manual_seed(0)
        model = model_of(kind).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        watch = gradscope.torch.watch(model, every=1, share=None, sequences=B) if watched else None
        exact = studied(model)
        for _ in range(2):
            optimizer.zero_grad()
            model(TOKENS).last_hidden_state.square().mean().backward()
            optimizer.step()
        if watch is not None:
            watch.close()
            found = watch.journal.snapshots
            assert {each.title for each in found} == set(TITLES[kind])
            assert not watch.journal.failures
            assert not any(each._forward_hooks for each in model.modules())
            for layer in exact.layers:
                first = next(each for each in found if each.title == layer.title)
                assert first.diagnosis is not None
                np.testing.assert_allclose(
                    first.diagnosis.norms.log_norms,
                    layer.diagnosis.norms.log_norms,
                    rtol=0,
                    atol=1e-5,
                )
        return model.state_dict(), torch.rand(3)

    (bare, random), (same, drawn) = trained(watched=False), trained(watched=True)

    assert torch.equal(random, drawn)
    assert all(torch.equal(each, same[name]) for name, each in bare.items())
