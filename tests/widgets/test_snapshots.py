"""States kept on the way: bounded, even, and never without the first."""

from types import SimpleNamespace

import pytest
import torch

from vaewidgets.widgets.cockpit.snapshots import Snapshots


def run(states: Snapshots, steps, floats: int = 4) -> None:
    for step in steps:
        training = SimpleNamespace(
            step=step,
            state=lambda step=step: SimpleNamespace(tensors={"w": torch.full((floats,), float(step))}),
        )
        states.update(training, 100 + step)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("steps", [0, 1, 2, 30, 31, 1000])
def test_there_are_few_they_are_even_and_the_first_stays(every, steps):
    states = Snapshots(every, most=8)
    run(states, range(steps + 1))
    kept = states.steps
    assert kept[0] == 0
    assert len(kept) <= 8
    gaps = {b - a for a, b in zip(kept, kept[1:], strict=False)}
    assert len(gaps) <= 1
    # More than a half of the room is used, and the last state is not far back.
    if steps >= 8 * every:
        assert len(kept) > 4
        assert steps - kept[-1] < gaps.pop()


def test_a_state_comes_back_as_it_was_given_with_its_seed():
    states = Snapshots(5)
    run(states, range(11))
    assert states.steps == [0, 5, 10]
    state, seed = states[5]
    assert state.tensors["w"].tolist() == [5.0] * 4
    assert seed == 105
    with pytest.raises(KeyError):
        states[6]


def test_memory_bounds_them_but_three_are_kept():
    states = Snapshots(1, most=24, memory=5 * 16)
    run(states, range(200))
    assert 3 <= len(states.steps) <= 5
    large = Snapshots(1, most=24, memory=1)
    for step in range(200):
        run(large, [step])
        assert len(large.steps) <= 3
    assert large.steps[0] == 0
    assert len(large.steps) >= 2


def test_a_future_that_will_not_be_is_forgotten_and_the_first_state_never():
    states = Snapshots(2)
    run(states, range(11))
    states.drop_after(6)
    assert states.steps == [0, 2, 4, 6]
    states.drop_after(5)
    assert states.steps == [0, 2, 4]
    states.drop_after(-1)
    assert states.steps == [0]
    run(states, range(1, 5))
    assert states.steps == [0, 2, 4]
