"""Elements as files: written and read back to the bit, and nothing but members of the gauge."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import weightspace as ws
from weightspace.files.elements import load_element, save_element

TEXT = """
in[3] fixed
h0[{n}] nonzero
h1[{n}] like h0 positive
h2[4] sign
a0[2]
q0[6] within a0
out[2] fixed
"""


@given(st.integers(1, 7), st.integers(0, 99), st.sampled_from([None, 1, 3]))
def test_an_element_reads_back_to_the_bit_with_its_spec(tmp_path_factory, n, seed, num):
    path = tmp_path_factory.mktemp("element") / "element.safetensors"
    spec = ws.parse(TEXT.format(n=n))
    element = ws.sample(spec, seed, num=num)
    save_element(path, element, spec, {"maps": "a to b"})
    read, found = load_element(path)
    assert found == spec
    for wrote, have in ((element.perm, read.perm), (element.scale, read.scale)):
        assert wrote.keys() == have.keys()
        assert all(torch.equal(wrote[name], value) and wrote[name].dtype == value.dtype for name, value in have.items())


def write(path, tensors=None, **metadata):
    spec = ws.parse(TEXT.format(n=5))
    save_element(path, ws.sample(spec, 0), spec)
    about = {"format": "weightspace-element-1", "spec": ws.to_text(spec)}
    save_file(load_file(path) | (tensors or {}), path, about | metadata)


BAD = {
    "other format": ({}, {"format": "something"}, "is no file of an element"),
    "no spec": ({}, {"spec": "0.weight in!"}, "holds no readable spec"),
    "unknown space": ({"perm.h9": torch.arange(3)}, {}, "holds an unknown 'perm.h9'"),
    "no permutation": ({"perm.h0": torch.tensor([0, 0, 1, 2, 3])}, {}, "is no permutation with scales"),
    "other size": ({"perm.h0": torch.arange(4), "scale.h0": torch.ones(4)}, {}, "is no permutation"),
    "negative": ({"scale.h1": -torch.ones(5)}, {}, "for h1[5] like h0 x positive is no"),
    "not finite": ({"scale.h0": torch.full((5,), torch.nan)}, {}, "for h0[5] S5 x nonzero is no"),
    "no sign": ({"scale.h2": torch.full((4,), 2.0)}, {}, "for h2[4] S4 x sign"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_element_is_refused(name, tmp_path):
    tensors, metadata, message = BAD[name]
    path = tmp_path / "element.safetensors"
    write(path)
    load_element(path)
    write(path, tensors, **metadata)
    with pytest.raises(ws.ConfigError) as error:
        load_element(path)
    assert message in str(error.value)


def test_another_suffix_is_refused_and_nothing_is_written(tmp_path):
    spec = ws.parse(TEXT.format(n=5))
    with pytest.raises(ws.ConfigError, match=r"Type e\.g\. .*element\.safetensors"):
        save_element(tmp_path / "element.pt", ws.identity(spec), spec)
    assert not list(tmp_path.iterdir())
