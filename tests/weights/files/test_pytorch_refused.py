"""A checkpoint that is forged, damaged or a trap is refused in one line, and nothing in it runs."""

import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.data.intake import MAX_ITEMS
from gradscope.errors import WeightsError
from gradscope.weights.files.contents import LONGEST_NAME
from gradscope.weights.load import load_weights
from gradscope.weights.readers import read_file
from tests.weights.forging import Call, Name, Storage, checkpoint, opcodes, tensor, text


def refusal(path: Path) -> str:
    """Return the one line with which a file is refused."""
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    return line.removeprefix(str(path))


def test_the_forger_writes_what_is_read(tmp_path: Path) -> None:
    file = read_file(checkpoint(tmp_path / "net.pt", {"W": tensor()}))

    np.testing.assert_array_equal(file.arrays["W"], [[0.0, 1.0], [2.0, 3.0]])


@pytest.mark.parametrize("name", ["os.system", "posix.system", "builtins.eval", "builtins.exec"])
def test_a_pickled_command_is_refused_and_does_not_run(tmp_path: Path, name: str) -> None:
    trace = tmp_path / "trace"
    command = f"touch {trace}" if "system" in name else f"open({str(trace)!r}, 'w')"

    line = refusal(checkpoint(tmp_path / "net.pt", {"W": Call(name, command)}))

    assert f"asks for {name!r}, which is no tensor, and nothing in a file is run here" in line
    assert not trace.exists()


def test_the_same_command_does_run_where_pickle_reads_it(tmp_path: Path) -> None:
    # So that the test above cannot pass for a command that would never have run.
    trace = tmp_path / "trace"

    pickle.loads(b"\x80\x02" + opcodes(Call("os.system", f"touch {trace}")) + b".")  # noqa: S301

    assert trace.exists()


class Runs:
    """An object whose unpickling runs a command."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_an_object_that_runs_on_reading_is_refused(tmp_path: Path, protocol: int) -> None:
    raw = pickle.dumps({"W": Runs(tmp_path / "trace")}, protocol=protocol)

    refusal(checkpoint(tmp_path / "net.pt", raw=raw))

    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR.", "asks for 'os.system'"),
        (b"\x80\x02(X\x02\x00\x00\x00lsios\nsystem\n.", "the opcode INST"),
        (b"\x80\x02(ctorch\nTensor\nX\x02\x00\x00\x00lso.", "the opcode OBJ"),
        (b"\x80\x02\x82\x01.", "the opcode EXT1"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93)R.", "asks for 'os.system'"),
        (b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93)R.", "asks for 'builtins.getattr'"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "asks for 'torch.FloatStorage'"),
        (b"\x80\x02K\x01)R.", "damaged"),
        (b"\x80\x02}K\x01b}(K\x01t.", "damaged"),
    ],
)
def test_every_way_to_call_something_is_refused(tmp_path: Path, raw: bytes, words: str) -> None:
    assert words in refusal(checkpoint(tmp_path / "net.pt", raw=raw))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"offset": 1}, "up to number 4 of a storage of 4"),
        ({"stride": (3, 1)}, "up to number 4 of a storage of 4"),
        ({"size": (3, 2)}, "6 entries up to number 5 of a storage of 4"),
        ({"size": (2**62, 2**62)}, "of a storage of 4"),
        ({"stride": (-2, 1)}, "must be integers of 0 or more"),
        ({"offset": -1}, "must be integers of 0 or more"),
        ({"offset": True}, "must be integers of 0 or more"),
        ({"offset": 0.0}, "must be integers of 0 or more"),
        ({"size": ("2", 2)}, "must be integers of 0 or more"),
        ({"size": (2,)}, "1 sizes and 2 strides"),
        ({"size": (1,) * 99, "stride": (1,) * 99}, "99 sizes"),
        ({"size": 2}, "damaged"),
        ({"size": (2**64, 1)}, "must be integers of 0 or more, of 63 bits"),
        ({"stride": (0, 0), "size": (9999, 9999)}, "entries up to number 0 of a storage of 4"),
        ({"count": 5}, "16 bytes, but 20 are announced"),
        ({"count": 2**62}, "16 bytes, but"),
        ({"count": -1}, "a storage has -1 numbers"),
        ({"count": None}, "a storage has None numbers"),
        ({"kind": "torch.ComplexFloatStorage"}, "asks for 'torch.ComplexFloatStorage'"),
        ({"kind": "torch.QInt8Storage"}, "quantised"),
        ({"kind": "torch.float32"}, "asks for 'torch.float32'"),
        ({"key": "9"}, "no member 'archive/data/9'"),
        ({"key": "../../../etc/passwd"}, "refers to a storage by"),
        ({"key": 0}, "refers to a storage by"),
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    assert words in refusal(checkpoint(tmp_path / "net.pt", {"W": tensor(**changed)}))


def test_a_negated_view_is_refused(tmp_path: Path) -> None:
    call = tensor()
    negated = Call(call.name, *call.arguments, {"neg": True})

    assert "negated or conjugated" in refusal(checkpoint(tmp_path / "net.pt", {"W": negated}))


@pytest.mark.parametrize(
    "content",
    [
        Call("torch._utils._rebuild_tensor_v2", "no storage", 0, (2,), (1,), False, None),
        Call("torch._utils._rebuild_tensor_v2"),
        Storage("storage", "no class", "0", "cpu", 4),
        Storage("other", Name("torch.FloatStorage"), "0", "cpu", 4),
        Storage("storage"),
        Storage(7),
    ],
)
def test_an_object_that_is_no_tensor_is_refused(tmp_path: Path, content: Any) -> None:
    refusal(checkpoint(tmp_path / "net.pt", {"W": content}))


def test_a_zip_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    content = {"W": tensor(count=2**26, size=(2**13, 2**13), stride=(2**13, 1))}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + opcodes(content) + b".")
        archive.writestr("archive/data/0", bytes(2**28))
    assert path.stat().st_size < 2**19

    tracemalloc.start()
    line = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "would unfold to 268435456 bytes" in line
    assert peak < 2**24


def test_storages_of_which_nothing_is_taken_are_counted(tmp_path: Path) -> None:
    path, count = tmp_path / "zero.pt", 3 * 2**22
    tensors = {i: tensor(key=str(i), count=count, size=(0,), stride=(1,)) for i in range(2)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + opcodes(tensors) + b".")
        for key in tensors:
            archive.writestr(f"archive/data/{key}", bytes(4 * count))

    assert f"would unfold to {4 * count} bytes" in refusal(path)


def test_a_long_key_is_passed_over_or_refused_before_a_name_is_made_of_it(tmp_path: Path) -> None:
    passed = checkpoint(tmp_path / "net.pt", {"W": tensor(), "notes": {"k" * 10_000: 1}})
    assert set(read_file(passed).arrays) == {"W"}

    insides: list[Any] = [{}, tensor()]
    for inside in insides:
        path = checkpoint(tmp_path / "net.pt", {"W": tensor(), "notes": {"k" * 10_000: inside}})
        assert "a name has 10000 characters" in refusal(path)


def test_many_views_of_one_storage_are_counted_together(tmp_path: Path) -> None:
    numbers = np.zeros(2**16, dtype="<f4").tobytes()
    content = {str(i): tensor(count=2**16, size=(2**16,), stride=(1,)) for i in range(1000)}

    line = refusal(checkpoint(tmp_path / "net.pt", content, storage=numbers))

    assert "would unfold" in line


@pytest.mark.parametrize(
    "name", ["../outside", "archive/../../outside", "/../outside", "..\\outside", "c:/outside"]
)
def test_a_member_that_points_out_of_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    path = checkpoint(tmp_path / "net.pt", {"W": tensor()}, members={name: b""})

    assert "points out of the archive" in refusal(path)


def test_a_member_held_twice_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "net.pt", {"W": tensor()})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data/0", bytes(16))

    assert "holds a member twice" in refusal(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "net.pt", {"W": tensor()})
    raw = bytearray(path.read_bytes())
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)

    assert "is encrypted" in refusal(path)


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path / "net.pt", {"W": tensor()}).read_bytes()
    cut = tmp_path / "cut.pt"

    for size in range(0, len(whole), 7):
        cut.write_bytes(whole[:size])
        refusal(cut)


def test_a_changed_byte_of_the_weights_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "net.pt", {"W": tensor()})
    raw = bytearray(path.read_bytes())
    raw[raw.index(np.arange(4, dtype="<f4").tobytes()) + 5] ^= 1
    path.write_bytes(raw)

    assert "Bad CRC-32" in refusal(path)


def nested(depth: int) -> bytes:
    return b"\x80\x02" + (b"}" + text("k")) * depth + b"}" + b"s" * depth + b"."


def test_dicts_nested_too_deep_are_refused(tmp_path: Path) -> None:
    line = refusal(checkpoint(tmp_path / "a.pt", raw=nested(100_000)))

    assert f"{LONGEST_NAME} are the most" in line


def test_tuples_nested_as_a_key_are_refused(tmp_path: Path) -> None:
    # Their hash is taken by recursion in C, where nothing stops it but the end of the stack.
    raw = b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."

    assert "a dict key of type tuple" in refusal(checkpoint(tmp_path / "net.pt", raw=raw))


def test_a_dict_that_holds_itself_is_looked_at_once(tmp_path: Path) -> None:
    raw = b"\x80\x02}q\x00(" + text("self") + b"h\x00" + text("W") + opcodes(tensor()) + b"u."

    assert set(read_file(checkpoint(tmp_path / "net.pt", raw=raw)).arrays) == {"W"}


def test_dicts_that_double_at_every_level_are_looked_at_once(tmp_path: Path) -> None:
    raw = b"\x80\x02](}q\x00"
    for level in range(30):
        inside = b"h" + bytes([level])
        raw += b"}(" + text("a") + inside + text("b") + inside + b"uq" + bytes([level + 1])

    assert "no recurrent layer" in refusal(checkpoint(tmp_path / "net.pt", raw=raw + b"e."))


def test_a_huge_place_in_the_memo_takes_no_memory(tmp_path: Path) -> None:
    # Python's own unpickler makes its memo as long as the largest number says: here 64 GiB.
    raw = b"\x80\x02}r\xff\xff\xff\xff" + text("W") + opcodes(tensor()) + b"s."

    assert set(read_file(checkpoint(tmp_path / "net.pt", raw=raw)).arrays) == {"W"}


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x02\x8b\xff\xff\xff\x7f",
        b"\x80\x02X\xff\xff\xff\xff",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x02I" + b"9" * 10_000 + b"\n.",
        b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b".",
        b"\x80\x02N.N.",
        b"\x80\x02(.",
        b"\x80\x02u.",
        b"\x80\x02h\x05.",
        b"",
        b".",
    ],
)
def test_a_pickle_that_makes_no_sense_is_refused(tmp_path: Path, raw: bytes) -> None:
    if raw == b"\x80\x02N.N.":  # What follows the end is not read
        assert "no recurrent layer" in refusal(checkpoint(tmp_path / "net.pt", raw=raw))
    else:
        refusal(checkpoint(tmp_path / "net.pt", raw=raw))


def test_a_pickle_of_too_many_opcodes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_ITEMS > 40 * 10_000  # Ten thousand tensors
    monkeypatch.setattr("gradscope.data.intake.MAX_ITEMS", 100)
    raw = b"\x80\x02](" + b"N" * 200 + b"e."

    assert "holds more items" in refusal(checkpoint(tmp_path / "net.pt", raw=raw))


def test_an_unknown_byte_order_is_refused(tmp_path: Path) -> None:
    members = {"archive/byteorder": b"middle"}

    line = refusal(checkpoint(tmp_path / "net.pt", {"W": tensor()}, members=members))

    assert "the byte order is 'middle'" in line


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    numbers = np.array([0.0, 1.0, np.nan, 3.0], dtype="<f4").tobytes()
    content = {"weight_ih_l0": tensor(), "weight_hh_l0": tensor()}

    line = refusal(checkpoint(tmp_path / "net.pt", content, storage=numbers))

    assert "nan at [1, 0] is not finite; take an earlier checkpoint" in line
