"""A module as a list of operators, and what is known about each before anything is computed."""

from __future__ import annotations

from torch import fx, nn

from strongroom.errors import ModelError
from strongroom.torch.operators import (
    ACTIVATIONS,
    COMPARISONS,
    KEPT,
    LINKS,
    MAX_POOLS,
    MOVES,
    OTHERWISE,
    REMEDIES,
    name_of,
    place_of,
)
from strongroom.torch.polynomials import PolynomialActivation


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, PolynomialActivation) or super().is_leaf_module(
            m, module_qualified_name
        )


def traced(module: nn.Module) -> fx.GraphModule:
    """A module as a graph of operators.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED if its forward depends on values.
    """
    name = type(module).__name__
    try:
        if _Tracer().is_leaf_module(module, ""):
            module = nn.Sequential(module)
        return fx.GraphModule(module, _Tracer().trace(module), name)
    except Exception as error:  # torch raises whatever a module's code leads to
        raise unsupported(
            f"the forward of {name} can't be traced ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no message'})",
            "Let it do the same with every row, without `if` or loops that depend on values",
        ) from error


def refuse(network: fx.GraphModule) -> None:
    """Raises ModelError for the first operator that can't run encrypted."""
    for node in network.graph.nodes:
        name = name_of(node, network)
        ending = name in LINKS and at_end(node, network)
        if not name or ending or name in ACTIVATIONS or name in MAX_POOLS:
            continue
        known = name in REMEDIES or name in COMPARISONS
        if node.op == "call_module":
            module = network.get_submodule(str(node.target))
            if getattr(module, "padding_mode", "zeros") != "zeros":
                raise unsupported(
                    f"{name} at {place_of(node)} pads with {module.padding_mode!r}",
                    "Use padding_mode='zeros'",
                )
            known = name not in KEPT
        if known:
            raise unsupported(
                f"{name} at {place_of(node)} can't run encrypted", REMEDIES.get(name, OTHERWISE)
            )


def at_end(node: fx.Node, network: fx.GraphModule) -> bool:
    """Whether nothing but moves follow."""
    return all(
        user.op == "output" or (name_of(user, network) in MOVES and at_end(user, network))
        for user in node.users
    )


def link_of(network: fx.GraphModule) -> str:
    """The link that a network ends in."""
    for node in network.graph.nodes:
        name = name_of(node, network)
        if name in ("Softmax", "LogSoftmax", "Sigmoid") and at_end(node, network):
            return name
    return ""


def put(network: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    """Let a node call a module of its own, where its old one was if nobody else uses that."""
    target = str(node.target) if node.op == "call_module" else node.name
    others = [user for user in network.graph.nodes if user is not node and user.target == target]
    if others or (node.op != "call_module" and hasattr(network, target)):
        target = f"{target.replace('.', '_')}_{node.name}"
    network.add_submodule(target, module)
    node.op, node.target = "call_module", target
    node.args, node.kwargs = (node.all_input_nodes[0],), {}


def unsupported(message: str, remedy: str) -> ModelError:
    """SR-MODEL-UNSUPPORTED."""
    return ModelError("SR-MODEL-UNSUPPORTED", message, remedy)
