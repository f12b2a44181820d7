"""Adapters learn, survive a round trip, and leave the base alone."""

from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import pytest
from tiny import CONFIG, flat, tiny_network

from engine.network.lora import LoRAConfig, add_adapter, load_adapter, save_adapter
from models.errors import InvalidInput, InvalidModelFile, NotFound

IDS = mx.array([[5, 3, 8, 1, 9, 2, 4]])


def trained(steps: int = 60) -> tuple[nn.Module, list[float]]:
    network = tiny_network()
    mx.random.seed(0)
    add_adapter(network, LoRAConfig(rank=4, num_layers=2))
    network.train()
    optimizer = optim.Adam(learning_rate=2e-3)

    def loss(net: nn.Module) -> mx.array:
        return nn.losses.cross_entropy(net(IDS[:, :-1]), IDS[:, 1:]).mean()

    losses = []
    step = nn.value_and_grad(network, loss)
    for _ in range(steps):
        value, gradients = step(network)
        optimizer.update(network, gradients)
        mx.eval(network.trainable_parameters(), value)
        losses.append(value.item())
    return network, losses


def test_a_fresh_adapter_changes_nothing() -> None:
    expected = tiny_network()(IDS)
    network = tiny_network()
    add_adapter(network, LoRAConfig(rank=4, num_layers=-1))
    assert mx.array_equal(network(IDS), expected)


def test_only_the_adapters_of_the_last_layers_learn() -> None:
    network, losses = trained()
    assert losses[-1] < losses[0] / 5
    names = flat(network)
    assert names
    assert {name.split(".")[2] for name in names} == {"1", "2"}
    assert {name.rpartition(".")[2] for name in names} == {"lora_a", "lora_b"}


def test_a_saved_adapter_gives_the_trained_logits_again(tmp_path: Path) -> None:
    network, _ = trained(5)
    save_adapter(network, LoRAConfig(rank=4, num_layers=2), tmp_path)
    again = tiny_network()
    load_adapter(again, CONFIG, tmp_path)
    assert mx.allclose(again(IDS), network(IDS), atol=1e-5)
    assert not mx.allclose(again(IDS), tiny_network()(IDS), atol=1e-2)


def test_gradients_equal_those_of_dense_layers() -> None:
    """The stored matrix's hand-written gradient against MLX's own through a plain product."""
    network = tiny_network()
    add_adapter(network, LoRAConfig(rank=4, num_layers=1))
    layer = network.layers[-1].mlp.down_proj
    layer.lora_b = mx.random.normal(layer.lora_b.shape)
    network.train()
    dense = mx.array(mx.eye(96) @ layer.base(mx.eye(96)))
    x = mx.random.normal((3, 96))

    def through_layer(x: mx.array) -> mx.array:
        return mx.sin(layer(x)).sum()

    def through_dense(x: mx.array) -> mx.array:
        return mx.sin(x @ dense + layer.scale * (x @ layer.lora_a) @ layer.lora_b).sum()

    assert mx.allclose(mx.grad(through_layer)(x), mx.grad(through_dense)(x), atol=1e-3)


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    network, _ = trained(1)
    save_adapter(network, LoRAConfig(rank=4, num_layers=2), tmp_path)
    with pytest.raises(InvalidModelFile, match="shapes"):
        load_adapter(tiny_network(intermediate_size=128), CONFIG, tmp_path)
    with pytest.raises(NotFound, match="no such adapter"):
        load_adapter(tiny_network(), CONFIG, tmp_path / "nothing")


@pytest.mark.parametrize("changes", [{"rank": 0}, {"num_layers": 0}, {"num_layers": -2}])
def test_impossible_shapes_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="must be"):
        LoRAConfig(**changes)
