"""The pytest plugin: in a run of its own, as a person has it."""

import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="PyTorch is what is tested")
pytest_plugins = ["pytester"]
pytestmark = pytest.mark.torch

TESTS = """
import pytest
import torch

def model(gain, **options):
    torch.manual_seed(0)
    rnn = torch.nn.RNN(1, 8, **options)
    torch.nn.init.orthogonal_(rnn.weight_hh_l0, gain)
    torch.nn.init.zeros_(rnn.weight_ih_l0)
    return rnn

def test_reaches(gradscope_reaches):
    rnn = model(1.0).eval()
    gradscope_reaches(rnn, torch.randn(60, 2, 1), lag=50)
    assert not rnn.training and not rnn._forward_hooks

def test_forgets(gradscope_reaches):
    gradscope_reaches(model(0.5), torch.randn(60, 2, 1), lag=50)

def test_too_short(gradscope_reaches):
    gradscope_reaches(model(1.0), torch.randn(40, 2, 1), lag=50)

def test_no_layer(gradscope_reaches):
    gradscope_reaches(torch.nn.Linear(1, 1), torch.randn(60, 2, 1), lag=50)
"""


@pytest.fixture
def plugin(pytestconfig: pytest.Config) -> list[str]:
    """What loads the plugin where gradscope was installed before it had one."""
    known = pytestconfig.pluginmanager.has_plugin("gradscope")
    return [] if known else ["-p", "gradscope.integrations.pytest_plugin"]


def test_the_check_fails_with_the_headline_and_leaves_a_picture(
    pytester: pytest.Pytester, plugin: list[str]
) -> None:
    pytester.makepyfile(TESTS)

    result = pytester.runpytest_subprocess(*plugin, "-q", "--basetemp=kept")

    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(["*reaches 10 steps back*needs 50*gradscope.png*"])
    result.stdout.fnmatch_lines(["*lag 50 was not measured: the inputs have 40 steps*"])
    result.stdout.fnmatch_lines(["*no recurrent layer was seen*"])
    pictures = sorted(pytester.path.glob("kept/*0/gradscope.png"))
    assert [each.parent.name for each in pictures] == ["test_forgets0", "test_too_short0"]
    assert pictures[0].read_bytes().startswith(b"\x89PNG")


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules)\n"
        "import gradscope.integrations.pytest_plugin\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*new & {'numpy', 'torch', 'matplotlib', 'rich', 'typer'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout.split()) == ("", [])
