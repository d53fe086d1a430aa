"""Formats other than torch and safetensors: the same tensors come out, and what cannot be read is one message."""

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

import weightspace as ws
from weightspace.files.checkpoint import open_checkpoint, open_network
from weightspace.files.writer import write_like

Graph = tuple[list[onnx.NodeProto], dict[str, Tensor]]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU(),
        nn.Linear(4, 1), nn.Sigmoid(),
    )  # fmt: skip
    for value in net.parameters():
        nn.init.normal_(value)
    return net


NET = network()
SPEC = ws.derive(NET, torch.zeros(2, 2, 3))
PARAMS = dict(NET.state_dict())


def normalized(x: str, gain: str, bias: str, out: str, *, folded: bool) -> list[onnx.NodeProto]:
    """A layer normalization as exporters write it out: gain and bias at the end, or folded into two products."""
    axes = {"axes": [1], "keepdims": 1}
    first = [
        helper.make_node("ReduceMean", [x], [f"{out}mean"], **axes),
        helper.make_node("Sub", [x, f"{out}mean"], [f"{out}off"]),
        helper.make_node("Mul", [f"{out}off", f"{out}off"], [f"{out}square"]),
        helper.make_node("ReduceMean", [f"{out}square"], [f"{out}variance"], **axes),
        helper.make_node("Add", [f"{out}variance", "eps"], [f"{out}sum"]),
        helper.make_node("Sqrt", [f"{out}sum"], [f"{out}root"]),
        helper.make_node("Reciprocal", [f"{out}root"], [f"{out}scale"]),
    ]
    if not folded:
        return [
            *first,
            helper.make_node("Mul", [f"{out}off", f"{out}scale"], [f"{out}unit"]),
            helper.make_node("Mul", [f"{out}unit", gain], [f"{out}gained"]),
            helper.make_node("Add", [f"{out}gained", bias], [out]),
        ]
    return [
        *first,
        helper.make_node("Mul", [f"{out}scale", gain], [f"{out}gained"]),
        helper.make_node("Mul", [f"{out}mean", f"{out}gained"], [f"{out}shift"]),
        helper.make_node("Sub", [bias, f"{out}shift"], [f"{out}rest"]),
        helper.make_node("Mul", [x, f"{out}gained"], [f"{out}part"]),
        helper.make_node("Add", [f"{out}part", f"{out}rest"], [out]),
    ]


def graph(*, product: str, folded: bool) -> Graph:
    """The network with names that say nothing, its matrices as rows, as columns, or in a product and a sum."""
    nodes, constants = [helper.make_node("Flatten", ["x"], ["v0"], axis=1)], {"eps": torch.tensor(1e-5)}
    for step, (layer, norm) in enumerate(((1, 2), (4, 5), (7, None))):
        weight, bias, at, out = f"a{step}", f"b{step}", f"v{step}", f"w{step}"
        value = PARAMS[f"{layer}.weight"]
        constants |= {weight: value if product == "rows" else value.T.contiguous(), bias: PARAMS[f"{layer}.bias"]}
        if product == "sum":
            nodes.append(helper.make_node("MatMul", [at, weight], [f"{out}p"]))
            nodes.append(helper.make_node("Add", [f"{out}p", bias], [out]))
        else:
            nodes.append(helper.make_node("Gemm", [at, weight, bias], [out], transB=int(product == "rows")))
        if norm is not None:
            constants |= {f"c{step}": PARAMS[f"{norm}.weight"], f"d{step}": PARAMS[f"{norm}.bias"]}
            nodes += normalized(out, f"c{step}", f"d{step}", f"n{step}", folded=folded)
            nodes.append(helper.make_node("Relu", [f"n{step}"], [f"v{step + 1}"]))
    return [*nodes, helper.make_node("Sigmoid", ["w2"], ["y"])], constants


def write_onnx(path: Path, made: Graph, *, nodes_of_constants: bool = False) -> onnx.ModelProto:
    nodes, constants = made
    tensors = {name: numpy_helper.from_array(value.numpy(), name) for name, value in constants.items()}
    if nodes_of_constants:
        nodes = [*(helper.make_node("Constant", [], [name], value=value) for name, value in tensors.items()), *nodes]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])
    listed = [] if nodes_of_constants else [*tensors.values()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], listed), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    onnx.save(model, str(path))
    return model


@pytest.mark.parametrize("product", ["rows", "columns", "sum"])
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("constants", [False, True])
def test_every_exporter_of_a_network_gives_its_tensors(
    product: str, folded: bool, constants: bool, tmp_path: Path
) -> None:
    """The graph computes what the module does, so the tensors are those of the module, and named alike."""
    path = tmp_path / "net.onnx"
    model = write_onnx(path, graph(product=product, folded=folded), nodes_of_constants=constants)
    x = torch.randn(1, 2, 3)
    (computed,) = ReferenceEvaluator(model).run(None, {"x": x.numpy()})
    assert np.allclose(computed, NET(x).detach().numpy(), atol=1e-6)
    found = open_network(path, SPEC)
    assert list(found.stored) == list(PARAMS)
    assert all(torch.equal(found.read(name), value) for name, value in PARAMS.items())
    names = [f"layers.{layer}.{role}" for layer in range(5) for role in ("weight", "bias")]
    assert list(open_checkpoint(path).stored) == names


def test_names_of_the_module_are_kept_where_the_exporter_kept_them(tmp_path: Path) -> None:
    """Two parallel layers: their order says nothing, their names do."""
    constants = {"left.weight": torch.randn(2, 6), "right.weight": torch.randn(2, 6)}
    nodes = [
        helper.make_node("Flatten", ["x"], ["v"], axis=1),
        helper.make_node("Gemm", ["v", "right.weight"], ["r"], transB=1),
        helper.make_node("Gemm", ["v", "left.weight"], ["l"], transB=1),
        helper.make_node("Mul", ["l", "r"], ["y"]),
    ]
    write_onnx(tmp_path / "net.onnx", (nodes, constants))
    text = "in[6] fixed\nout[2] fixed\n\n{0}.weight out in\n{1}.weight out in\n"
    found = open_network(tmp_path / "net.onnx", ws.parse(text.format("left", "right"))).load()
    assert all(torch.equal(found[name], value) for name, value in constants.items())
    with pytest.raises(ws.SpecMismatch, match="The order of its tensors says nothing, since its graph branches"):
        open_network(tmp_path / "net.onnx", ws.parse(text.format("one", "other")))


def test_an_exported_network_is_written_under_the_names_of_the_module(tmp_path: Path) -> None:
    write_onnx(tmp_path / "net.onnx", graph(product="columns", folded=True))
    found = open_network(tmp_path / "net.onnx", SPEC)
    write_like(found, tmp_path / "out.pt", lambda name: [found.read(name)])
    other = network()
    other.load_state_dict(torch.load(tmp_path / "out.pt", weights_only=True))


def changed(index: int, kind: str) -> Callable[[], Graph]:
    def make() -> Graph:
        nodes, constants = graph(product="rows", folded=False)
        nodes[index].op_type = kind
        return nodes, constants

    return make


UNREAD = {
    "an operation": (changed(1, "Einsum"), "'a0' [4, 6] is used by Einsum, which is not read here"),
    "moved axes": (
        lambda: (
            [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), *graph(product="rows", folded=False)[0]],
            graph(product="rows", folded=False)[1],
        ),
        "its graph moves axes",
    ),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_graph_that_is_no_chain_of_layers_is_refused(name: str, tmp_path: Path) -> None:
    make, message = UNREAD[name]
    write_onnx(tmp_path / "net.onnx", make())
    with pytest.raises(ws.WeightSpaceError) as error:
        open_network(tmp_path / "net.onnx", SPEC)
    assert message in str(error.value)


def test_without_the_package_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.onnx").write_bytes(b"any")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ws.ConfigError, match=r"pip install 'weightspace\[onnx\]'"):
        open_checkpoint(tmp_path / "net.onnx")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_an_archive_of_arrays_reads_and_writes_to_the_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    params = {name: value.to(dtype) for name, value in PARAMS.items()}
    arrays = {name: value.numpy() for name, value in params.items()}
    arrays["1.bias"] = arrays["1.bias"].astype(arrays["1.bias"].dtype.newbyteorder(">"))
    np.savez(tmp_path / "net.npz", **arrays, note=np.array("a text"))
    found = open_network(tmp_path / "net.npz", SPEC)
    assert found.left_out == ("note",)
    for name in ("out.npz", "again.npz"):
        write_like(found, tmp_path / name, lambda name: [found.read(name)])
    read = open_network(tmp_path / "out.npz", SPEC).load()
    assert all(torch.equal(read[name], value) and read[name].dtype == dtype for name, value in params.items())
    assert (tmp_path / "out.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_an_archive_cannot_hold_what_numpy_has_not(tmp_path: Path) -> None:
    torch.save({name: value.bfloat16() for name, value in PARAMS.items()}, tmp_path / "net.pt")
    found = open_network(tmp_path / "net.pt", SPEC)
    with pytest.raises(ws.ConfigError, match=r"bfloat16, which a \.npz archive cannot hold"):
        write_like(found, tmp_path / "out.npz", lambda name: [found.read(name)])
    assert not (tmp_path / "out.npz").exists()


def write_agent(path: Path, policy: bytes | None) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "{}")
        archive.writestr("policy.optimizer.pth", b"moments")
        if policy is not None:
            archive.writestr("policy.pth", policy)


def test_the_networks_of_an_agent_are_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(PARAMS, buffer)
    write_agent(tmp_path / "agent.zip", buffer.getvalue())
    found = open_network(tmp_path / "agent.zip", SPEC)
    assert all(torch.equal(found.read(name), value) for name, value in PARAMS.items())
    assert found.left_out == ("data", "policy.optimizer.pth")


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no agent": ("net.zip", lambda path: write_agent(path, None), "it holds no policy.pth"),
    "no policy": ("net.zip", lambda path: write_agent(path, b"123"), "cannot be read as a file of tensors"),
    "no zip": ("net.zip", lambda path: path.write_bytes(b"PK"), "is not a readable archive"),
    "objects": ("net.npz", lambda path: np.savez(path, a=np.array([{}])), "is not a readable archive of arrays"),
    "one array": ("net.npz", lambda path: path.write_bytes(b"\x93NUMPY"), "is not a readable archive of arrays"),
    "unsigned": ("net.npz", lambda path: np.savez(path, a=np.zeros(2, np.uint16)), "in numbers of type uint16"),
    "no graph": ("net.onnx", lambda path: path.write_bytes(b"\x00\x01"), "is not a readable ONNX file"),
    "nothing": ("net.npz", lambda path: np.savez(path), "holds no tensors"),
    "another end": ("net.h5", lambda path: path.write_bytes(b""), "its name should end in .safetensors, .pt"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_file_gets_one_message(name: str, tmp_path: Path) -> None:
    file, make, message = BAD[name]
    make(tmp_path / file)
    with pytest.raises(ws.ConfigError) as error:
        open_checkpoint(tmp_path / file)
    assert message in str(error.value)
    assert str(tmp_path / file) in str(error.value)
