"""Machines are named by chip and memory."""

import pytest

from models.chips import CHIPS, parse_machine
from models.errors import InvalidInput


def test_every_machine_is_found_by_its_own_name() -> None:
    for chip in CHIPS:
        for size in chip.memory_sizes_gb:
            machine = parse_machine(f"{chip.name} {size}GB")
            assert (machine.chip, machine.memory_bytes) == (chip, size << 30)
            assert parse_machine(machine.name) == machine


def test_memory_decides_between_two_chips_of_one_name() -> None:
    assert parse_machine("M4 Max 36GB").chip.bandwidth_gb_s == 410
    assert parse_machine("m4 max 128 gb").chip.bandwidth_gb_s == 546


@pytest.mark.parametrize("text", ["M4 Pro", "M4 Pro 25GB", "M3 Max", "M1 Max 32GB 64GB"])
def test_a_name_that_is_not_one_machine_is_refused_with_what_is_sold(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_machine(text)
    assert caught.value.hint


def test_an_unknown_chip_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidInput, match="M4 Prro") as caught:
        parse_machine("M4 Prro 24GB")
    assert "m4 pro" in str(caught.value.hint)
