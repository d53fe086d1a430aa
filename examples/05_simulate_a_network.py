# %% [markdown]
# # Can a network that reads networks run them, forward and backward?
# A metanetwork has a vertex for every neuron of the network it reads and sends messages along the weights, in both
# directions. Nothing is trained here: a published ScaleGMN gets its weights by hand, and its vertices then hold what
# torch computes in the network read: pre-activations z, activations h and the gradient of a loss, |y|^2 / 2.

# %%
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import weightspace as ws

WIDTH = 64
BIAS, PROBE, Z, H, ERROR, GRADIENT = range(6)  # what the first channels of a vertex hold; the others stay 0
AHEAD, BACK = WIDTH, 2 * WIDTH  # an update reads the vertex's own channels, then those of the messages
QUIET = 2.0**-100  # every channel but Z is stored times this power of two, which rounds nothing

# %% [markdown]
# ## Gates
# A vertex update is a linear map times an MLP, and the MLP sees an invariant of the vertex only. For tanh networks, on
# which signs act, that is |z|; for ReLU networks, on which positive scales act, it is the direction of the vector of
# all channels, and with the others quiet its entry Z is -1, 0 or 1. Just enough: tanh(z) = z * (tanh|z| / |z|) and
# ReLU(z) = z * (0 or 1), and the same for their derivatives.


# %%
def hidden(t: Tensor) -> Tensor:
    """Hidden units of the MLPs at values ``t`` of their entry Z, and a 1 for the last bias."""
    return torch.cat([F.silu(2 * (t.unsqueeze(1) - CENTERS)), torch.ones_like(t).unsqueeze(1)], 1)


def gate(t: Tensor, values: Tensor) -> Tensor:
    """The last row and bias of an MLP with these values at ``t``: least squares."""
    return torch.linalg.lstsq(hidden(t), values, rcond=1e-14, driver="gelsd").solution


CENTERS = torch.linspace(-2, 10, WIDTH, dtype=torch.float64)
RANGE = 8.0  # of |z| in tanh networks; gates are right to about 1e-12 there, and wrong beyond
t = RANGE * torch.linspace(1e-3, 1, 4000, dtype=torch.float64) ** 2
directions, positive = torch.tensor([[-1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
step = gate(directions, positive)
ACTIVATE = {"sign": gate(t, t.tanh() / t), "positive": step}
DIFFERENTIATE = {"sign": gate(t, 1 - t.tanh() ** 2), "positive": step}
SHUT = dict.fromkeys(ACTIVATE, torch.zeros(WIDTH + 1, dtype=torch.float64))

# %% [markdown]
# ## The program
# A round is a linear map, written as {(new channel, channel read): factor}, and gates of hidden vertices, 1 where none
# is given. At inputs and outputs they are 1 throughout. So the error, which is y for this loss, stands at outputs only:
# hidden vertices shut it out, and inputs have z = 0.


# %%
def keep(*channels: int) -> dict[tuple[int, int], float]:
    """Factors of channels that stay."""
    return {(channel, channel): 1.0 for channel in channels}


LISTEN = (  # z = bias + sum of w * h
    keep(BIAS, PROBE, H, ERROR, GRADIENT)
    | {(Z, BIAS): 1 / QUIET, (Z, AHEAD + H): 1 / QUIET, (Z, AHEAD + PROBE): 1 / QUIET},
    {},
)
FIRE = (  # h = act(z)
    keep(BIAS, PROBE, Z, GRADIENT) | {(H, Z): QUIET, (ERROR, Z): QUIET},
    {H: ACTIVATE, ERROR: SHUT},
)
BLAME = (  # gradient = act'(z) * sum of w * gradient
    keep(BIAS, PROBE, Z, H, ERROR) | {(GRADIENT, ERROR): 1.0, (GRADIENT, BACK + GRADIENT): 1.0},
    {GRADIENT: DIFFERENTIATE},
)


def program(num_weights: int) -> list[tuple]:
    """The rounds: two per weight forward, then one per layer of neurons backward, outputs first."""
    return [LISTEN, FIRE] * num_weights + [BLAME] * (num_weights + 1)


@torch.no_grad()
def simulator(spec: ws.SymmetrySpec, rounds: list[tuple]) -> nn.Module:
    """The published "cifar_inr -B" with these rounds, for signs or positive scales as the spec has them."""
    group = spec.free[0].scale
    published = ws.nn.PRESETS["cifar_inr -B"]
    preset = replace(published, group=group, width=WIDTH, rounds=len(rounds), readout="full_graph")
    model = ws.nn.paper(preset, layout=spec).double().eval()
    for parameter in model.parameters():
        parameter.zero_()
    for mlp in model.modules():
        if isinstance(mlp, ws.nn.Mlp):
            mlp.first.weight[:, Z], mlp.first.bias[:], mlp.second.bias[:] = 2, -2 * CENTERS, 1
    embed, num_inputs = model.backbone.embed, spec.space["in"].size
    embed.vertex.weight[:], embed.edge.weight[:] = 1, 1
    embed.positions.table[:num_inputs, PROBE] = QUIET
    embed.positions.table[num_inputs:, BIAS] = QUIET
    for part, (mix, gates) in zip(model.backbone.rounds, rounds, strict=True):
        for message in part.messages.values():  # weight times sender, quiet channels only
            for linear in (message.join.node, message.join.edge, message.map.linear):
                linear.weight.fill_diagonal_(1)
            message.join.node.weight[Z, Z] = 0
        for edge_update in part.edge_updates.values():  # no change
            edge_update.linear.weight.fill_diagonal_(1)
        for place, factor in mix.items():
            part.update.linear.weight[place] = factor
        last = part.update.gates[group].mlp.second
        for channel, row in gates.items():
            last.weight[channel], last.bias[channel] = row[group][:-1], row[group][-1]
    return model


# %% [markdown]
# ## Reading the states
# Multiply the fan-in of a ReLU neuron by q > 0 and divide its fan-out by q: z and h grow by q, as every state of its
# vertex must. The gradient g shrinks by q, so no state can be g itself. The model reads networks divided by the neuron
# gauge s, which grows by q too: there z is z / s, so its gradient is s * g, and as a state, s times that, s^2 * g. This
# grows by q, as it must; dividing by s^2 gives g. For tanh s = 1.


# %%
def pairs(net: nn.Module, probes: Tensor) -> dict[str, Tensor]:
    """A stack of the network, once per probe; the probe is one more parameter, a bias of the inputs."""
    params = {name: value.expand(len(probes), *value.shape) for name, value in net.state_dict().items()}
    return params | {"probe": probes}


@torch.no_grad()
def by_vertices(model: nn.Module, params: dict[str, Tensor]) -> dict[tuple[str, str], Tensor]:
    """What the final states hold ``[b, n]``, by quantity and space."""
    gauge, found = ws.gauge.neuron_gauge(params, model.spec), {}
    for space, x in model.states(params).items():
        found["z", space] = x[..., Z]
        found["h", space] = x[..., H] / QUIET
        found["gradient", space] = x[..., GRADIENT] / QUIET / gauge[space] ** 2
    return found


def by_torch(net: nn.Sequential, probes: Tensor) -> dict[tuple[str, str], Tensor]:
    """The same from the network itself, by autograd: gradients by z, and by the probe on inputs."""
    trace = [probes.clone().requires_grad_()]
    for layer in net:
        trace.append(layer(trace[-1]))
        trace[-1].retain_grad()
    (trace[-1].square().sum() / 2).backward()
    spaces = [*(f"h{i}" for i in range(len(net) // 2)), "out"]
    found = {("h", space): h.detach() for space, h in zip(spaces[:-1], trace[2::2], strict=True)}
    found["gradient", "in"] = trace[0].grad
    for space, z in zip(spaces, trace[1::2], strict=True):
        found["z", space], found["gradient", space] = z.detach(), z.grad
    return found


# %%
torch.manual_seed(0)
probes = 2 * torch.rand(5, 2, dtype=torch.float64) - 1
for activation in (nn.Tanh, nn.ReLU):
    net = nn.Sequential(nn.Linear(2, 8), activation(), nn.Linear(8, 6), activation(), nn.Linear(6, 3)).double()
    spec = ws.parse(ws.to_text(ws.derive(net, probes)) + "probe in\n")
    have, want = by_vertices(simulator(spec, program(3)), pairs(net, probes)), by_torch(net, probes)
    errors = {key: float((have[key] - value).abs().max()) for key, value in want.items()}
    print(f"largest error, {activation.__name__}:".ljust(22) + "".join(f"{space.name:>9}" for space in spec.spaces))
    for quantity in ("z", "h", "gradient"):
        cells = [errors.get((quantity, space.name)) for space in spec.spaces]
        print(f"{quantity:22}" + "".join(f"{'-' if cell is None else format(cell, '.0e'):>9}" for cell in cells))
    assert max(errors.values()) < 1e-6
