"""``vaewidgets bench train``: every design learns the same, and the table says what was measured."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vaewidgets.bench import loops, peak, train
from vaewidgets.cli import app as cli

HERE = importlib.util.find_spec("pythae") is not None


# --- arithmetic ------------------------------------------------------------------------------------------


def test_the_operations_of_a_known_mlp():
    first, second = nn.Linear(784, 400), nn.Linear(400, 10)
    # Forward 2 i o, gradient of the weights 2 i o, gradient of the input 2 i o; none of the images.
    assert peak.step_flops(first, second) == 2 * 2 * 784 * 400 + 3 * 2 * 400 * 10


def test_the_operations_of_the_model_are_those_that_torch_counts():
    model, x = loops.Net(), torch.rand(16, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        logits, mu, logvar = model(x)
        (logits.sum() + mu.sum() + logvar.sum()).backward()
    assert counter.get_total_flops() == 16 * peak.step_flops(*loops.layers())


def test_images_are_counted_where_an_epochs_last_batch_is_short():
    assert train._counter(300, 128, 2) == [0, 128, 256, 300, 428, 556, 600]
    assert train._counter(256, 128, 1) == [0, 128, 256]
    assert train._counter(5, 128, 2) == [0, 5, 10]


def result(name, device="cpu", rates=(), **values):
    return train.Result(name, name, device, rates=list(rates), **values)


def test_a_design_is_held_against_the_first_of_its_device():
    results = [
        result("dataloader", rates=[10, 20, 30]), result("fit", rates=[80, 90, 70]),
        result("dataloader", "cuda", [100]), result("fit", "cuda", [1000]), result("pythae", note="gone"),
    ]  # fmt: skip
    peaks = {"cpu float32": 16e3, "cuda float32": 1e6}
    ratios = [train.figures(each, results, peaks, 100)["ratio"] for each in results]
    assert ratios[:4] == [1, 4, 1, 10] and math.isnan(ratios[4])
    assert train.figures(results[1], results, peaks, 100)["share_of_peak"] == pytest.approx(0.5)


def test_the_price_of_a_step_is_the_median_of_what_each_round_says():
    results = [result("engine", rates=[100, 50, 10]), result("fit", rates=[98, 45, 10])]
    assert train.step_price(results) == pytest.approx(0.02)


# --- what is refused -------------------------------------------------------------------------------------


def test_without_mnist_one_line_says_what_to_do(tmp_path, capsys):
    assert cli.main(["bench", "train", "--data", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vaewidgets bench: mnist is not in ") and "VAEWIDGETS_DATA" in line


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--epochs", "x"], ["--images", "60001"]])
def test_arguments_that_are_not_understood(words, capsys):
    with pytest.raises(SystemExit):
        cli.main(["bench", "train", *words])
    assert f"expected a number from 1 to 60000; got {words[1]!r}" in capsys.readouterr().err


def test_more_rounds_than_steps_are_refused(mnist):
    settings = {"epochs": 1, "batch_size": 128, "images": 256, "rounds": 3}
    with pytest.raises(ValueError, match="3 rounds need as many steps; these epochs have 2"):
        train.measure(mnist, Path(), ["cpu"], settings)


# --- a small run ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def record(mnist, mnist_root):
    """What a run of every design on 2,000 images says, and its table."""
    settings = {"epochs": 2, "batch_size": 128, "images": 2000, "rounds": 3, "threads": 1}
    results, peaks, flops = train.measure(mnist, mnist_root, ["cpu"], settings)
    return {
        "machine": {"software": "s", "cpus": 1, "load": None}, "settings": settings, "peaks": peaks,
        "flops_per_image": flops, "step_price": train.step_price(results), "digits_seconds": 1.0,
        "designs": [vars(each) | train.figures(each, results, peaks, flops) for each in results],
    }  # fmt: skip


def test_every_design_learns_the_same(record):
    ran = [design for design in record["designs"] if not design["note"]]
    assert len(ran) == len(loops.DESIGNS) - (not HERE)
    before = {design["loss_before"] for design in ran}
    assert max(before) - min(before) < 0.01, "all start from the same weights"
    losses = [design["loss"] for design in ran]
    assert max(losses) < min(before) - 200
    # Thirty-two steps in, each still depends on its own noise: after two epochs of all images it is 1 nat.
    assert max(losses) - min(losses) < 6
    for design in ran:
        assert len(design["rates"]) == 3 and min(design["rates"]) > 0


def test_the_designs_of_the_package_differ_in_nothing_but_what_is_looked_at(record):
    losses = {design["name"]: design["loss"] for design in record["designs"]}
    assert losses["fit"] == losses["fit-drained"] == losses["engine"]
    assert losses["fit-bfloat16"] != losses["fit"]


@pytest.mark.skipif(HERE, reason="pythae is installed here")
def test_without_pythae_its_row_says_so(record):
    (design,) = [design for design in record["designs"] if design["name"] == "pythae"]
    assert design["rates"] == [] and math.isnan(design["loss"])
    lines = train.table(record).splitlines()
    assert "pythae: not installed; pip install pythae adds it" in lines
    assert next(line for line in lines if line.startswith("pythae ")).split() == ["pythae", *"----"]


def test_a_table_of_two_devices_names_them(record):
    twice = [*record["designs"], {**record["designs"][0], "device": "cuda"}]
    text = train.table({**record, "designs": twice})
    assert "cuda: torchvision DataLoader" in text and "cpu: vaewidgets fit, bfloat16" in text


def test_the_command_prints_json_that_agrees_with_the_table(mnist_root, capsys, monkeypatch):
    monkeypatch.setattr(train, "digits_seconds", lambda: 1.25)
    monkeypatch.setattr(loops, "DESIGNS", {name: loops.DESIGNS[name] for name in ("fit", "engine")})
    words = ["bench", "train", "--data", str(mnist_root), "--device", "cpu", "--threads", "1"]
    assert cli.main([*words, "--images", "300", "--rounds", "2", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["settings"] == {
        "epochs": 2, "batch_size": 128, "images": 300, "rounds": 2, "threads": 1,
    }  # fmt: skip
    lines = train.table(record).splitlines()
    for design in record["designs"]:
        (line,) = [line for line in lines if line.startswith(design["title"])]
        speed, ratio, loss, _ = line.removeprefix(design["title"]).split()
        assert speed == f"{design['images_per_second']:,.0f}" and loss == f"{design['loss']:.2f}"
        assert ratio == f"{design['ratio']:.2f}"
    assert lines[-1] == "digits, 20 epochs: 1.25 s"
    assert "3,280,000 operations per image" in lines[-2]


def test_the_readmes_model_learns_the_digits_in_some_time(monkeypatch):
    monkeypatch.setattr(train, "_DIGITS_EPOCHS", 1)
    assert train.digits_seconds() > 0
