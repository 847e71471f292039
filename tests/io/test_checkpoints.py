"""Checkpoints: exact round trips, interrupted saves, and files that mean harm."""

import errno
import json
import os
import pickle
import random
import re
import stat
import struct
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from oracles import generator
from safetensors.torch import save_file

import vaewidgets as vw
from vaewidgets.io import checkpoints
from vaewidgets.io.checkpoints import EncodedDataset

MODELS = [
    dict(),
    dict(latent_dim=5, image_shape=(3, 7, 6), trunk="conv", hidden=(4, 8), likelihood="continuous-bernoulli"),
    dict(trunk="linear", likelihood="gaussian", sigma=0.3),
    dict(likelihood="gaussian", sigma="learned", activation="tanh"),
    dict(likelihood="gaussian", sigma="optimal"),
]


def small(**arguments):
    return vw.VAE(**{"latent_dim": 2, "image_shape": (1, 4, 4), "hidden": (5,), "seed": 0, **arguments})


def atlas_of(n=6, d=2, labels=None):
    mu, logvar = torch.randn(2, n, d, generator=generator())
    return EncodedDataset(mu, logvar, torch.arange(n) if labels is None else torch.as_tensor(labels))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path):
    """The bytes of a good checkpoint with both atlases; the file itself lies at `path`."""
    vw.save(small(), path, atlas=atlas_of(), train_atlas=atlas_of(7))
    return path.read_bytes()


def taken_apart(data):
    """Header of the tensors, our own header, and the weights of a checkpoint's bytes."""
    length = int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8 : 8 + length])
    return tensors, json.loads(tensors.pop("__metadata__")["vaewidgets"]), data[8 + length :]


def put_together(tensors, own, weights):
    text = json.dumps({"__metadata__": {"vaewidgets": json.dumps(own)}, **tensors}).encode()
    return struct.pack("<Q", len(text)) + text + weights


def changed(data, tensors=None, config=None, **own):
    """A checkpoint's bytes with other descriptions of tensors, or entries of the config or of our header."""
    described, header, weights = taken_apart(data)
    header = {**header, "config": {**header["config"], **(config or {})}, **own}
    return put_together(described if tensors is None else tensors, header, weights)


def refusal(path, data):
    """Write `data` and return the message with which it is refused; it must name the file."""
    path.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        vw.load(path)
    assert type(caught.value) is ValueError
    assert str(path) in str(caught.value)
    return str(caught.value)


# Round trips


@pytest.mark.parametrize("arguments", MODELS)
def test_what_is_saved_is_loaded_bit_by_bit(path, arguments):
    model = small(**arguments)
    vw.save(model, path)
    loaded = vw.load(path)
    assert loaded.config == model.config
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert loaded.info == {} and not hasattr(loaded, "atlas")


def test_half_precision_halves_the_file_and_keeps_three_digits(path):
    model = vw.VAE(2, (1, 8, 8), hidden=(128,), seed=0)
    vw.save(model, path)
    whole = path.stat().st_size
    vw.save(model, path, half=True)
    assert 0.45 * whole < path.stat().st_size < 0.6 * whole
    loaded = vw.load(path)
    for name, tensor in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        # float16 has 11 significant bits, and steps of 2^-24 near zero.
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=2**-11, atol=2**-25)
    assert model.mu.weight.dtype == torch.float32, "saving changed the model"


def test_a_model_in_float64_is_loaded_in_float32(path):
    model = small().double()
    vw.save(model, path)
    assert torch.equal(vw.load(path).mu.weight, model.mu.weight.float())


def test_info_is_kept_and_added_to(path):
    info = dict(dataset="digits", figures={"elbo": -25.1}, list=[1, None, True], text='"ä\ud800\0')
    vw.save(small(), path, **info)
    loaded = vw.load(path)
    assert loaded.info == info
    vw.save(loaded, path, dataset="other")
    assert vw.load(path).info == {**info, "dataset": "other"}


@pytest.mark.parametrize("labels", [[0, 255, 3], [0, 256, 3], [-1, 0, 3], [2**40, 0, 0], []])
@pytest.mark.parametrize("half", [False, True])
def test_the_atlas_comes_back(path, labels, half):
    atlas = atlas_of(len(labels), labels=torch.tensor(labels, dtype=torch.int64))
    tolerance = dict(rtol=2**-11, atol=1e-7) if half else dict(rtol=0, atol=0)
    for name, other in (("atlas", "train_atlas"), ("train_atlas", "atlas")):
        vw.save(small(), path, **{name: atlas}, half=half)
        model = vw.load(path)
        assert not hasattr(model, other)
        loaded = getattr(model, name)
        assert loaded.labels.dtype == torch.int64 and loaded.labels.tolist() == labels
        torch.testing.assert_close(loaded.mu, atlas.mu, **tolerance)
        torch.testing.assert_close(loaded.logvar, atlas.logvar, **tolerance)


def test_a_loaded_model_saves_its_own_atlas_again(path, saved):
    vw.save(vw.load(path), path)
    assert path.read_bytes() == saved


def test_a_loaded_model_trains(path, digits):
    model = vw.VAE(2, (1, 8, 8), hidden=(16,), seed=0)
    vw.save(model, path)
    loaded = vw.load(path)
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    losses = [[step.loss for step in vw.fit(m, digits.train.images[:200], epochs=2)] for m in (model, loaded)]
    assert losses[0] == losses[1]


def test_a_loaded_model_no_longer_depends_on_its_file(path, saved):
    model = vw.load(path)
    before = [t.clone() for t in (*model.state_dict().values(), *model.atlas, *model.train_atlas)]
    with path.open("r+b") as file:
        file.seek(len(saved) // 2)
        file.write(b"\x55" * (len(saved) - len(saved) // 2))
    after = [*model.state_dict().values(), *model.atlas, *model.train_atlas]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_saving_and_loading_draw_no_random_number(path):
    before = torch.get_rng_state()
    model = small()
    vw.save(model, path)
    vw.load(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_file_has_the_permissions_of_an_ordinary_one(path):
    ordinary = path.with_name("ordinary")
    ordinary.touch()
    vw.save(small(), str(path))
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


# What cannot be saved


DEEP = []
for _ in range(200_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "info, words",
    [
        (dict(x=torch.ones(1)), "plain JSON"),
        (dict(x=float("nan")), "plain JSON"),
        (dict(x={1, 2}), "plain JSON"),
        (dict(x=DEEP), "plain JSON"),
        (dict(x="x" * 2**20), "too large"),
    ],
)
def test_info_that_could_not_be_read_back_is_refused(path, saved, info, words):
    with pytest.raises(ValueError, match=words):
        vw.save(small(), path, **info)
    assert path.read_bytes() == saved
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "atlas",
    [
        atlas_of(d=3),
        atlas_of(labels=range(5)),
        EncodedDataset(torch.zeros(6, 2), torch.zeros(5, 2), torch.arange(6)),
        EncodedDataset(torch.zeros(6, 2), torch.zeros(6, 2), torch.zeros(6, 1, dtype=torch.int64)),
    ],
)
def test_an_atlas_that_does_not_fit_is_refused(path, atlas):
    for name in ("atlas", "train_atlas"):
        with pytest.raises(ValueError, match=f"atlas that does not fit: {name} "):
            vw.save(small(), path, **{name: atlas})
    assert os.listdir(path.parent) == []


def test_only_models_of_known_kinds_are_saved(path):
    class Mine(vw.VAE):
        pass

    for model in (torch.nn.Linear(2, 2), Mine(2, (1, 4, 4))):
        with pytest.raises(TypeError, match=f"save takes .*VAE.*; got {type(model).__name__}"):
            vw.save(model, path)


# Interrupted saves


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["replace", "fsync", "chmod"])
def test_an_interrupted_save_leaves_the_old_file_and_no_scratch(path, saved, monkeypatch, where, error):
    monkeypatch.setattr(os, where, Mock(side_effect=error))
    with pytest.raises(type(error)):
        vw.save(small(seed=1), path)
    monkeypatch.undo()
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == saved
    vw.load(path)


def test_a_disk_that_fills_up_while_writing_leaves_the_old_file_and_no_scratch(path, saved, monkeypatch):
    opened = os.fdopen

    def half_a_file(handle, mode):
        file = opened(handle, mode, buffering=0)

        class Full:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def write(self, data):
                file.write(data[: len(data) // 2])
                raise OSError(errno.ENOSPC, "no space left")

        return Full()

    monkeypatch.setattr(os, "fdopen", half_a_file)
    with pytest.raises(OSError, match="no space left"):
        vw.save(small(seed=1), path)
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == saved


def test_a_save_that_cannot_begin_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        vw.save(small(), tmp_path / "absent" / "model.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        vw.save(small(), tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


# Files that are not ours, or no longer


def test_a_file_that_is_not_there(path):
    with pytest.raises(FileNotFoundError):
        vw.load(path)


def test_a_file_cut_short_anywhere(path, saved):
    for length in {*range(40), *range(0, len(saved), 17), len(saved) - 1}:
        assert re.search("cut short|cannot be read", refusal(path, saved[:length]))


def test_a_file_that_goes_on_too_long(path, saved):
    assert "damaged" in refusal(path, saved + b"\0")


@pytest.mark.parametrize(
    "metadata, words",
    [
        (None, "no header of ours"),
        ({"vaewidgets": "no JSON"}, "header that cannot be read"),
        ({"vaewidgets": "[1, 2]"}, "no header of ours"),
    ],
)
def test_safetensors_of_someone_else(path, metadata, words):
    save_file({"weight": torch.zeros(3)}, path, metadata)
    assert words in refusal(path, path.read_bytes())


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\0" * 100, b"\x89PNG\r\n\x1a\n" + bytes(90), b"{}" * 50])
def test_other_files(path, data):
    assert "not a safetensors file" in refusal(path, data)


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_a_pickle_is_never_opened(path, tmp_path):
    target = tmp_path / "executed"
    files = [pickle.dumps(Bomb(target), protocol) for protocol in range(6)]
    torch.save(Bomb(target), path)
    files.append(path.read_bytes())
    torch.save(Bomb(target), path, _use_new_zipfile_serialization=False)
    files.append(path.read_bytes())
    for protocol, data in enumerate(files):
        message = refusal(path, data)
        # The two protocols of text have no signature.
        assert protocol < 2 or "looks like a pickled PyTorch file, which vaewidgets never opens" in message
        assert not target.exists()
    pickle.loads(files[2]).close()
    assert target.exists(), "the bomb is a dud, and the test could not fail"


@pytest.mark.parametrize("length", [2**20 + 1, 2**40, 2**63, 2**64 - 1])
def test_a_giant_header(path, saved, length):
    assert "not a safetensors file" in refusal(path, struct.pack("<Q", length) + saved[8:])


@pytest.mark.parametrize("where", ["tensors", "ours"])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_json(path, where, opening):
    text = opening * (100_000 // len(opening))
    if where == "ours":
        text = json.dumps({"__metadata__": {"vaewidgets": text}})
    message = refusal(path, struct.pack("<Q", len(text)) + text.encode())
    assert "header that cannot be read" in message


@pytest.mark.parametrize("version", [2, 10**30])
def test_a_future_version_asks_for_an_update(path, saved, version):
    assert "update it" in refusal(path, changed(saved, format=version))


JUNK = [None, True, -1, 0, 1.5, float("inf"), 10**400, "x", "", [], [1], [[1]], {}, {"a": 1}, [2**24] * 3]


@pytest.mark.parametrize("key", ["format", "kind", "config", "info"])
def test_junk_in_our_header(path, saved, key):
    tensors, own, weights = taken_apart(saved)
    without = {name: value for name, value in own.items() if name != key}
    refusal(path, put_together(tensors, without, weights))
    for junk in JUNK:
        if key == "info" and isinstance(junk, dict):
            continue
        refusal(path, put_together(tensors, {**own, key: junk}, weights))


@pytest.mark.parametrize("key", [*small().config, "seed", "self", "unknown"])
def test_junk_in_the_config(path, saved, key):
    for junk in JUNK:
        path.write_bytes(changed(saved, config={key: junk}))
        loads_or_refuses(path)
    for junk in ("x", {}, [2**24] * 3, 10**400):
        refusal(path, changed(saved, config={key: junk}))


def test_junk_in_the_descriptions_of_tensors(path, saved):
    (tensors, *_), name = taken_apart(saved), "model.mu.weight"
    described = [{**tensors[name], key: junk} for key in ("dtype", "shape", "data_offsets") for junk in JUNK]
    for junk in (*described, *JUNK):
        refusal(path, changed(saved, {**tensors, name: junk}))


def test_weights_of_another_shape_name_the_first_that_does_not_fit(path, saved):
    message = "model.decoder.0.bias should have shape [7], the file has [5]"
    assert message in refusal(path, changed(saved, config={"hidden": [7]}))
    tensors = taken_apart(saved)[0]
    del tensors["model.mu.bias"]
    message = "model.mu.bias should have shape [2], the file has (absent)"
    assert message in refusal(path, changed(saved, tensors))


def test_an_atlas_of_images_without_labels_comes_back(path):
    model, atlas = small(), atlas_of()._replace(labels=None)
    vw.save(model, path, atlas=atlas)
    loaded = vw.load(path).atlas
    assert loaded.labels is None
    assert torch.equal(loaded.mu, atlas.mu) and torch.equal(loaded.logvar, atlas.logvar)


@pytest.mark.parametrize("atlas", ["atlas", "train_atlas"])
@pytest.mark.parametrize("name", ["mu", "logvar", "labels"])
def test_an_atlas_in_pieces(path, saved, atlas, name):
    tensors, name = taken_apart(saved)[0], f"{atlas}.{name}"
    broken = {key: value for key, value in tensors.items() if key != name}
    # Labels may be absent; then their bytes belong to nothing.
    wanted = "damaged or cut short" if name.endswith("atlas.labels") else "atlas that does not fit"
    assert wanted in refusal(path, changed(saved, broken))
    for shape in ([3, 4], [12], [12, 1], [], ["6", 2], [-6, 2]):
        refusal(path, changed(saved, {**tensors, name: {**tensors[name], "shape": shape}}))


@pytest.mark.parametrize("kind", [vw.Autoencoder, vw.ConditionalVAE, vw.Classifier])
def test_other_kinds_are_checked_alike(path, kind):
    model = kind(image_shape=(1, 4, 4), hidden=(5,), seed=0)
    vw.save(model, path)
    good = path.read_bytes()
    assert vw.load(path).config == model.config
    for key in (*model.config, "seed", "unknown"):
        for junk in ("x", {}, [2**24] * 3, 10**400, *([2**24, True, 0] if key == "classes" else [])):
            refusal(path, changed(good, config={key: junk}))
    tensors = taken_apart(good)[0]
    for name in tensors:
        broken = {key: value for key, value in tensors.items() if key != name}
        assert f"{name} should have shape" in refusal(path, changed(good, broken))
    for other in {"VAE", "Autoencoder", "ConditionalVAE", "Classifier"} - {kind.__name__}:
        refusal(path, changed(good, kind=other))


def test_a_config_of_giant_sizes_takes_neither_memory_nor_long(path, saved):
    """In a process of its own: the peak of memory may not move by what the file only claims."""
    configs = [
        dict(hidden=[2**24, 2**24]),
        dict(hidden=[1] * 200_000),
        dict(latent_dim=2**24, hidden=[2**24]),
        dict(image_shape=[2**24] * 3),
        dict(image_shape=[1, 2**12, 2**12], trunk="linear", latent_dim=2**24),
        dict(image_shape=[2**24, 2**10, 2**10], trunk="conv", hidden=[2**24]),
    ]
    for i, config in enumerate(configs):
        path.with_name(f"giant{i}").write_bytes(changed(saved, config=config))
    # The weights are claimed too, far beyond the end of the file.
    giant = {"model.mu.weight": {"dtype": "F32", "shape": [2, 2**34], "data_offsets": [0, 2**37]}}
    path.with_name(f"giant{len(configs)}").write_bytes(changed(saved, {**taken_apart(saved)[0], **giant}))
    program = """
import resource, sys, time, torch, vaewidgets as vw
folder, n = sys.argv[1], int(sys.argv[2])
vw.load(f"{folder}/model.safetensors")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for i in range(n):
    try:
        vw.load(f"{folder}/giant{i}")
    except ValueError:
        continue
    raise SystemExit(f"giant{i} was loaded")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
"""
    command = [sys.executable, "-c", program, str(path.parent), str(len(configs) + 1)]
    kilobytes = int(subprocess.check_output(command, text=True))
    assert kilobytes < 40_000


def test_many_layers_are_refused_before_they_are_built(path, saved, monkeypatch):
    """A hundred thousand layers of one unit have hardly a weight, but take the better part of a minute."""
    monkeypatch.setitem(checkpoints.KINDS, "VAE", Mock(side_effect=AssertionError("the model was built")))
    giant = changed(saved, config={"hidden": [1] * 100_000})
    assert "more layers than its 16 tensors" in refusal(path, giant)


def loads_or_refuses(path):
    """Whether the file loads; anything but a model or a ValueError fails the test."""
    try:
        model = vw.load(path)
    except ValueError as error:
        assert str(path) in str(error)
        return False
    assert isinstance(model, vw.VAE) and model(torch.zeros(1, *model.image_shape)).dim() == 4
    return True


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_is_refused_or_harmless(path, saved, seed):
    rng = random.Random(seed)
    header = 8 + int.from_bytes(saved[:8], "little")
    outcomes = []
    for _ in range(150):
        data = bytearray(saved)
        # Half of the damage in the header, which is where it can do something.
        end = header if rng.random() < 0.5 else len(data)
        for _ in range(rng.choice([1, 1, 2, 8])):
            position = rng.randrange(end)
            damage = rng.randrange(4)
            if damage == 0:
                data[position] = rng.randrange(256)
            elif damage == 1:
                data[position] = rng.choice(b'0123456789[]{}",:.-eE ')
            elif damage == 2:
                del data[position : position + rng.randrange(1, 5)]
            else:
                data[position:position] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 5)))
            end = min(end, len(data))
        path.write_bytes(data)
        outcomes.append(loads_or_refuses(path))
    assert any(outcomes) and not all(outcomes), "damage of one kind only"


# Files that change while they are read


@pytest.mark.parametrize("at", ["before the header", "before the weights"])
@pytest.mark.parametrize("change", ["cut", "replaced"])
def test_a_file_that_changes_while_it_is_read_is_whole_or_refused(path, monkeypatch, at, change):
    other = path.with_name("other")
    vw.save(small(hidden=(2000,)), path)  # more than is read ahead
    vw.save(small(latent_dim=5), other)
    name = "read_header" if at == "before the header" else "read_tensors"
    original = getattr(checkpoints, name)

    def then(*args):
        os.replace(other, path) if change == "replaced" else os.truncate(path, 100)
        return original(*args)

    monkeypatch.setattr(checkpoints, name, then)
    if change == "cut":
        with pytest.raises(ValueError, match="cut short"):
            vw.load(path)
    else:
        assert vw.load(path).latent_dim == 2, "what was opened is what is read"


def test_a_page_never_replaces_a_file_that_came_up_while_it_was_made(tmp_path, monkeypatch):
    from vaewidgets.widgets.explorer import html_page

    path, describe = tmp_path / "x.html", html_page._describe

    def slow(model):
        path.write_text("dear")
        return describe(model)

    monkeypatch.setattr(html_page, "_describe", slow)
    with pytest.raises(FileExistsError, match="exists already"):
        html_page.to_html(small(), path)
    assert path.read_text() == "dear" and os.listdir(tmp_path) == ["x.html"]
    html_page.to_html(small(), path, overwrite=True)
    assert path.read_text() != "dear"


# Models that ship


def test_an_unknown_pretrained_model_lists_the_known_ones(monkeypatch, tmp_path):
    (tmp_path / "pretrained").mkdir()
    vw.save(small(), tmp_path / "pretrained" / "digits-vae-2d.safetensors", dataset="digits")
    monkeypatch.setattr(checkpoints.resources, "files", lambda package: tmp_path)
    assert vw.pretrained("digits-vae-2d").info == {"dataset": "digits"}
    with pytest.raises(
        ValueError, match=r"'digit-vae-2d'. Did you mean 'digits-vae-2d'\?.*There are: digits-vae-2d"
    ):
        vw.pretrained("digit-vae-2d")
    with pytest.raises(ValueError, match="There are: digits-vae-2d"):
        vw.pretrained("../secret")


@pytest.mark.parametrize("name", ["vae", "conditional-half"])
def test_what_version_0_1_0_wrote_loads_for_ever(name, path):
    old = Path(__file__).parent / "checkpoints_0_1_0" / f"{name}.safetensors"
    model = vw.load(old)
    labels = [] if name == "vae" else [torch.tensor([3, 7])]
    with torch.no_grad():
        decoded = model.decode(torch.tensor(model.info["z"]), *labels).flatten(1)
    # That version wrote into info what it decoded itself; processors round differently.
    assert torch.allclose(decoded, torch.tensor(model.info["decoded"]), atol=1e-5)
    assert model.config["hidden"] == [6] and model.info["dataset"] == "digits"
    if name == "vae":
        assert model.atlas.mu.shape == model.atlas.logvar.shape == (10, 2)
        assert model.info["classes"] == [str(digit) for digit in range(10)]
        assert model.atlas.labels.max() < 10 and vw.LatentExplorer(model).image.shape == (8, 8)
    vw.save(model, path, half=name != "vae")
    again = vw.load(path)
    assert again.config == model.config and again.info == model.info
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
