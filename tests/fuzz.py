"""Files that were damaged, or mean harm, through the loaders: what ``test_fuzz.py`` runs, each seed another.

``python tests/fuzz.py npz 17`` repeats seed 17 alone and shows what is wrong; two numbers are a range.
A process of its own, so that a crash is seen and memory can be limited.
"""

import io
import json
import os
import random
import re
import resource
import signal
import stat
import struct
import sys
import tempfile
import traceback
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import vaewidgets as vw
from vaewidgets.io.checkpoints import EncodedDataset
from vaewidgets.training import resume

MIB = 2**20
#: What a load of a file of a few kilobytes may add to the memory of the process, in MiB. An image may promise
#: 50 million pixels, and is decoded at that size before it is made smaller.
BOUNDS = {"checkpoint": 50, "state": 50, "npz": 50, "image": 700}
#: A message longer than this is not read.
LONGEST_MESSAGE = 1500
#: What may not reach a terminal out of a file: it acts on it, or turns what follows.
RAW = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
#: Seconds after which a load counts as hanging.
PATIENCE = 60

NUMBERS = (
    -1, 0, 1, 2, 255, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63, 2**64 - 1, 2**64, -(2**63),
    10**9, 10**12, 10**400, 0.5, -0.0, 1e308, 1e400, -1e400, float("nan"),
)  # fmt: skip
WORDS = (
    "", "x", "../../etc/passwd", "/etc/passwd", "\0", "\ud800", "\u202egnp", "<img src=x onerror=alert(1)>",
    "\x1b[2J\x1b]0;x\x07", "\u061ca\u200fb\x9b", "__class__", "__metadata__",
    "model.mu.weight", "F32", "I64", "U8", "BF16", "F8_E5M2", "x" * 70_000,
)  # fmt: skip


class Twin(str):
    """A key that a dict holds twice, and JSON says twice."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


# --- bytes ---------------------------------------------------------------------------------------------


def cut(rng, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def flip(rng, data: bytes) -> bytes:
    spoiled = bytearray(data)
    # Headers come first, and are short.
    reach = rng.choice((16, 64, 256, len(data)))
    for _ in range(rng.choice((1, 1, 2, 3, 8, 40))):
        spoiled[rng.randrange(min(reach, len(data)))] ^= 1 << rng.randrange(8)
    return bytes(spoiled)


def splice(rng, data: bytes) -> bytes:
    a, b, to = (rng.randrange(len(data)) for _ in range(3))
    piece = data[min(a, b) : max(a, b)]
    return data[:to] + piece + data[to + rng.choice((0, len(piece))) :]


def stuff(rng, data: bytes) -> bytes:
    to, n = rng.randrange(len(data)), rng.choice((1, 4, 8, 100, 5000))
    piece = rng.choice((rng.randbytes(n), bytes(n), b"\xff" * n))
    return data[:to] + piece + data[to + rng.choice((0, n)) :]


def renumber(rng, data: bytes) -> bytes:
    width, order = rng.choice((2, 4, 8)), rng.choice(("little", "big"))
    at = rng.randrange(min(rng.choice((32, 128, len(data))), len(data)))
    number = rng.choice(
        (0, 1, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 10**9, 2**40, 2**63, 2**64 - 1)
    )
    return data[:at] + (number % 256**width).to_bytes(width, order) + data[at + width :]


BYTES = (cut, flip, flip, flip, splice, stuff, renumber, renumber)


# --- JSON ----------------------------------------------------------------------------------------------


def junk(rng):
    """A value of any kind."""
    deep = rng.choice((3, 500, 5000))
    return rng.choice(
        (
            lambda: rng.choice(NUMBERS),
            lambda: rng.choice(WORDS),
            lambda: rng.choice((None, True, False, [], {}, [[]], {"a": {}})),
            lambda: [rng.choice(NUMBERS) for _ in range(rng.choice((1, 2, 3, 4, 3000)))],
            lambda: Raw("[" * deep + "]" * rng.choice((deep, deep - 1))),
            lambda: Raw('{"a":' * deep + "1" + "}" * deep),
            lambda: Raw("1" * rng.choice((400, 5000))),
            lambda: {name: rng.choice(NUMBERS) for name in rng.sample(WORDS, 4)},
        )
    )()


class Raw(str):
    """JSON, or nearly, that goes out as it stands."""


def dump(value) -> str:
    raw = {}

    def prepare(value):
        if isinstance(value, Raw):
            raw[f"@raw{len(raw)}@"] = str(value)
            return f"@raw{len(raw) - 1}@"
        if isinstance(value, dict):
            return {name: prepare(v) for name, v in value.items()}
        return [prepare(v) for v in value] if isinstance(value, list) else value

    text = json.dumps(prepare(value))
    for name, content in raw.items():
        text = text.replace(f'"{name}"', content)
    return text


def edit(rng, value) -> None:
    """Change one place, anywhere in nested lists and dicts."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = value[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.8:
            value = inner
            continue
        break
    way = rng.randrange(6)
    if way == 0:
        del value[key]
    elif way == 1 and isinstance(value, dict):
        value[rng.choice(WORDS)] = value.pop(key)
    elif way == 2 and isinstance(value, dict):
        value[Twin(key)] = junk(rng)
    elif way == 3:
        other = rng.choice(keys)
        value[key], value[other] = value[other], value[key]
    elif way == 4 and isinstance(inner, int):
        value[key] = inner + rng.choice((-1, 1, 4, 2**20, 2**40))
    else:
        value[key] = junk(rng)


# --- checkpoints, and the states of unfinished trainings -------------------------------------------------


def pack(tensors, own, weights: bytes) -> bytes:
    own = own if isinstance(own, str) else dump(own)
    text = dump({"__metadata__": {"vaewidgets": own}, **tensors}).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + weights


def unpack(data: bytes):
    length = int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8 : 8 + length])
    return tensors, json.loads(tensors.pop("__metadata__")["vaewidgets"]), data[8 + length :]


def spoil_safetensors(rng, data: bytes) -> bytes:
    if rng.random() < 0.25:
        return rng.choice(BYTES)(rng, data)
    tensors, own, weights = unpack(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        edit(rng, rng.choice((tensors, own, own)))
    if rng.random() < 0.2:
        # Two tensors in one place, or one far beyond the end.
        entry = rng.choice([t for t in tensors.values() if isinstance(t, dict)] or [{}])
        entry["data_offsets"] = rng.choice(([0, 8], [0, 2**40], [2**63, 2**63 + 8], [8, 0], [-8, 0]))
        entry["shape"] = rng.choice(([2], [2**38], [2**31, 2**31], [2**32, 2**32, 0], [-2], [2.0], ["2"]))
    data = pack(tensors, own, weights)
    return rng.choice(BYTES)(rng, data) if rng.random() < 0.1 else data


def save(model, atlas: bool) -> bytes:
    codes = torch.arange(12.0).view(6, 2)
    atlases = dict(
        atlas=EncodedDataset(codes, -codes, torch.arange(6)), train_atlas=EncodedDataset(codes, -codes, None)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        vw.save(model, path, **(atlases if atlas else {}), dataset="digits", figures={"loss": 1.5}, list=[1])
        return path.read_bytes()


def checkpoints() -> list[bytes]:
    small = dict(image_shape=(1, 4, 4), hidden=(5,), seed=0)
    return [
        save(vw.VAE(2, **small), True),
        save(vw.VAE(3, (3, 5, 6), trunk="conv", hidden=(2, 3), seed=0), False),
        save(vw.VAE(2, (1, 4, 4), trunk="linear", likelihood="gaussian", sigma="learned", seed=0), True),
        save(vw.Autoencoder(2, **small), False),
        save(vw.ConditionalVAE(2, classes=3, **small), True),
        save(vw.Classifier((1, 4, 4), 3, hidden=(2,), seed=0), False),
    ]


def begun() -> vw.Training:
    images = torch.linspace(0, 1, 160).view(10, 1, 4, 4)
    model = vw.VAE(2, (1, 4, 4), hidden=(3,), seed=0)
    return vw.fit(model, images[:8], validation=images[8:], epochs=3, batch_size=4, patience=2, seed=0)


def states() -> list[bytes]:
    training = begun()
    for _ in range(3):
        next(training)
    about = {name: kind() for name, kind in resume._ABOUT.items()} | {"device": "cpu"}
    return [resume.serialise(training.state(), about)]


def go_on(path: Path):
    """What ``vaewidgets train --resume`` does with a state file."""
    training = begun()
    state = resume.read(path)
    resume.check_size(state, "VAE", training.model.config)
    before = [tensor.clone() for tensor in training.state().tensors.values()]
    try:
        resume.restore(training, state)
    except ValueError:
        after = training.state().tensors.values()
        assert all(map(torch.equal, before, after)), "a state was refused, and changed the training"
        raise
    training.close()


# --- .npz ------------------------------------------------------------------------------------------------

DTYPES = (
    "'|O'", "'<f8'", "'>f8'", "'|S0'", "'|V0'", "'<U9'", "'|S9'", "'<M8[ns]'", "'<m8[s]'", "'<c16'",
    "'<f2'", "'|b1'", "'<f16'", "'<u2'", "'>i8'", "'<u8'", "'<i8'", "''", "'x'", "3", "None", "[]",
    "[('a', '<f4')]", "[('a', '|O')]", "[('a', '<f4', (1073741824,))]", "[('a', [('b', '|V1000000000')])]",
    "'|V2000000000'", "'|S' 'x'", "'1000000000f8'", "'(1000000,)f8'", "__import__('os')",
    "'" + "<" * 3000 + "'",
)  # fmt: skip
SHAPES = (
    "()", "(4,)", "(4, 4, 4)", "(0, 4, 4)", "(4, 0, 4)", "(1, 4, 4)", "(-4, 4, 4)", "(-4, -4, 4)",
    "(4.0, 4, 4)", "(True, 4, 4)", "4", "'4'", "None", "[4, 4, 4]", "(1000000000, 4, 4)",
    "(1000000000, 1000000000, 1000000000)", "(4294967296, 4294967296)", "(9223372036854775808, 0)",
    "(4, 4, 4, 1, 1, 1)", "(" + "1, " * 80 + ")", "(" + "1, " * 3000 + ")", "(" * 900 + ")" * 900,
    "(" * 90 + ")" * 90, "(9" + "9" * 5000 + ",)", "4 ** 9 ** 9", "(4, 4, 3)", "(2, 3, 4, 4)",
    "(2, 4, 4, 3)",
)  # fmt: skip


def npy(rng, array) -> bytes:
    """An array as numpy would write it, with a lie or two in its header."""
    descr, fortran, shape = repr(np.dtype(array.dtype).str), "False", repr(array.shape)
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        which = rng.randrange(3)
        if which == 0:
            descr = rng.choice(DTYPES)
        elif which == 1:
            shape = rng.choice(SHAPES)
        else:
            fortran = rng.choice(("True", "1", "None", "'x'"))
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    if rng.random() < 0.05:
        text = rng.choice(
            (text[:-3], text.replace("descr", "desc"), text[:-1] + "'more': 1}", "[]", "", text * 2)
        )
    header = text.encode() + b"\n"
    version = rng.choice([(1, 0)] * 20 + [(2, 0)] * 9 + [(3, 0), (9, 9), (0, 0)])
    length = rng.choice([len(header)] * 30 + [0, len(header) + 50, 2**16 - 1])
    start = b"\x93NUMPY" + bytes(version) + length.to_bytes(2 if version == (1, 0) else 4, "little")
    payload = array.tobytes()
    return start + header + payload[: rng.choice([len(payload)] * 9 + [len(payload) // 2])]


#: What compresses to next to nothing, after the start of an array's file.
FILLING = 24 * MIB


def npz_bomb(rng) -> bytes:
    """A zip archive of a few kilobytes that promises, or unpacks to, far more; or has very many members."""
    images = npy(random.Random(0), np.zeros((4, 4, 4), "u1"))
    start, labels, filling = images, None, 0
    way = rng.randrange(5)
    if way == 0:  # a header that goes on and on
        start = b"\x93NUMPY\2\0" + struct.pack("<I", rng.choice((2**16, FILLING, 2**32 - 1)))
        filling = FILLING
    elif way == 1:  # pixels, of which each could be an image
        n = FILLING // 16
        shape = rng.choice(((n, 4, 4), (16 * n, 1, 1), (1, 16 * n, 1), (n // 2, 2, 4, 4)))
        start, filling = npy_start("|u1", shape), FILLING
    elif way == 2:  # labels without width, or without end
        descr, shape = rng.choice((("|S0", (2**29,)), ("<U0", (4,)), ("|S1", (FILLING,)), ("<U99999", (4,))))
        labels, filling = npy_start(descr, shape), FILLING
    elif way == 3:  # no pixels at all, in any number of images
        start = npy_start("<f4", rng.choice(((2**40, 0, 4), (0, 4, 4), (2**62, 4, 0))))
    buffer = io.BytesIO()
    # To make one of the third kind, LZMA, takes more memory than any loader may.
    method = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        for name, content in (("images", start), ("labels", labels)):
            if content is not None:
                with archive.open(f"{name}.npy", "w") as member:
                    member.write(content)
                    if labels is None or name == "labels":
                        for _ in range(filling // MIB):
                            member.write(bytes(MIB))
        for i in range(rng.choice((100, 6000)) if way == 4 else 0):
            archive.writestr(f"{i:060}", b"")
    return buffer.getvalue()


def npy_start(descr: str, shape: tuple) -> bytes:
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header


def npz(rng) -> bytes:
    """A zip archive with members that may lie, of names that may, in a directory that may."""
    # Mostly one thing is wrong, so that it is the one that is found.
    sound = rng.random() < 0.7
    images = rng.choice(
        (
            np.arange(64, dtype="u1").reshape(4, 4, 4),
            np.linspace(0, 1, 64, dtype="f4").reshape(4, 4, 4),
            np.linspace(0, 1, 192, dtype="f8").reshape(4, 3, 4, 4),
            np.zeros((4, 4, 4), bool),
            np.zeros((4, 4, 4), "i4"),
        )[: 4 if sound else 5]
    )
    labels = rng.choice(
        (
            np.arange(4),
            np.array(list("abcd")),
            np.array([0, 1, 2, rng.choice((10**6, 2**31, 2**62, -1))]),
            np.array([0, 1, 2**63, 2**64 - 1], "u8"),
            np.arange(5),
            np.zeros((4, 1), int),
            np.array([0.0, np.nan, 1, 2]),
        )[: 2 if sound else 7]
    )
    names = rng.choice(
        (["images", "labels"], ["images", "labels"], ["x", "y"], ["arr_0", "arr_1"], ["images"])
    )
    if not sound and rng.random() < 0.3:
        names = rng.choice(
            (
                ["../images", "labels"],
                ["/images", "y"],
                ["images", "images"],
                ["images/", "y"],
                ["a" * 60_000],
                [],
            )
        )
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name, array in zip(names, (images, labels), strict=False):
                archive.writestr(f"{name}.npy", npy(rng, array))
    return buffer.getvalue()


def spoil_npz(rng, _) -> bytes:
    if rng.random() < 0.02:
        return npz_bomb(rng)
    data = npz(rng)
    if rng.random() < 0.35:
        data = rng.choice(BYTES)(rng, data)
    at = data.rfind(b"PK\x01\x02")
    if at >= 0 and rng.random() < 0.35:
        # A field of the directory: flags, method, checksum, sizes, lengths, offset.
        field, width = rng.choice(
            ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4))
        )
        number = rng.choice((0, 1, 8, 9, 12, 14, 95, 99, 2**16 - 1, 2**31, 2**32 - 2, 2**32 - 1)) % 256**width
        data = data[: at + field] + number.to_bytes(width, "little") + data[at + field + width :]
    return data


# --- images in folders -----------------------------------------------------------------------------------


def encoded(kind: str, mode: str, **options) -> bytes:
    pixels = np.arange(16 * 16 * 3, dtype=np.uint32).reshape(16, 16, 3) * 7 % 256
    image = Image.fromarray(pixels.astype("uint8")).convert(mode if mode != "I;16" else "L")
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype("uint16") * 257)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def images() -> list[tuple[str, bytes]]:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    frame = Image.new("P", (16, 16), 3)
    return [
        ("png", encoded("PNG", "L")),
        ("png", encoded("PNG", "RGBA", exif=exif)),
        ("png", encoded("PNG", "P")),
        ("png", encoded("PNG", "I;16")),
        ("png", encoded("PNG", "1")),
        ("jpg", encoded("JPEG", "RGB", exif=exif)),
        ("jpeg", encoded("JPEG", "L", progressive=True)),
        ("jpg", encoded("JPEG", "CMYK")),
        ("gif", encoded("GIF", "P", save_all=True, append_images=[frame])),
        ("tif", encoded("TIFF", "RGB", exif=exif)),
        ("tiff", encoded("TIFF", "L", compression="tiff_lzw")),
        ("tif", encoded("TIFF", "I;16", compression="tiff_deflate")),
        ("bmp", encoded("BMP", "P")),
        ("bmp", encoded("BMP", "RGB")),
        ("webp", encoded("WEBP", "RGB", exif=exif)),
        ("webp", encoded("WEBP", "RGBA", lossless=True)),
    ]


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at + 12 <= len(png):
        n = int.from_bytes(png[at : at + 4], "big")
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + n]))
        at += 12 + n
    return found


def spoil_png(rng, png: bytes) -> bytes:
    """Damage whose checksums are right: it gets to what reads the chunks."""
    parts = chunks(png)
    way = rng.randrange(5)
    if way == 0:
        size = struct.pack(
            ">II", *(rng.choice((0, 1, 16, 17, 5000, 30_000, 10**9, 2**31 - 1)) for _ in range(2))
        )
        parts[0] = (b"IHDR", size + parts[0][1][8:])
    elif way == 1:
        bomb = zlib.compress(bytes(64 * MIB), 1) if rng.random() < 0.05 else zlib.compress(bytes(2 * MIB), 1)
        name = rng.choice((b"zTXt", b"iCCP", b"iTXt", b"IDAT"))
        lead = {b"iTXt": b"k\0\1\0\0\0", b"IDAT": b""}.get(name, b"k\0\0")
        parts.insert(rng.randrange(1, len(parts)), (name, lead + bomb))
    else:
        k = rng.randrange(len(parts))
        name, content = parts[k]
        spoiled = rng.choice(BYTES)(rng, content) if content else rng.randbytes(9)
        parts[k] = (rng.choice((name, name, b"acTL", b"fcTL", b"PLTE", b"tRNS", b"eXIf")), spoiled)
    whole = b"".join(
        len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")
        for name, content in parts
    )
    return png[:8] + whole


def spoil_image(rng, base: tuple[str, bytes]) -> tuple[str, bytes]:
    ending, data = base
    if ending == "png" and rng.random() < 0.7:
        data = spoil_png(rng, data)
    else:
        for _ in range(rng.choice((1, 1, 2))):
            data = rng.choice(BYTES)(rng, data or b"\0")
    return (rng.choice(("png", "jpg", "tif")) if rng.random() < 0.1 else ending), data


# --- the run ---------------------------------------------------------------------------------------------

NAMES = (
    "bad",
    "bad 2",
    "<img src=x onerror=alert(1)>",
    "b\nad",
    "\u202ebad",
    "$bad$",
    "%s",
    "{bad}",
    "b" * 200,
)


class Folder:
    """Where the files of one kind lie, and how they are read."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind, self.root = kind, root
        makers = {"checkpoint": checkpoints, "state": states, "npz": lambda: [None], "image": images}
        self.bases = makers[kind]()
        (root / "good").mkdir()
        self.good = root / "good" / "good.png"
        self.good.write_bytes(encoded("PNG", "RGB"))

    def put(self, seed: int) -> Path:
        """Write the file of a seed."""
        rng = self.rng = random.Random(f"{self.kind} {seed}")
        base = rng.choice(self.bases)
        name = rng.choice(NAMES)
        if self.kind == "image":
            ending, data = spoil_image(rng, base)
            path = self.good.with_name(f"{name}.{ending}")
        else:
            spoil = spoil_npz if self.kind == "npz" else spoil_safetensors
            path, data = self.root / f"{name}.{self.kind}", spoil(rng, base)
        if self.kind != "image" and rng.random() < 0.01:
            rng.choice((os.mkfifo, os.mkdir, lambda place: os.symlink("/dev/zero", place)))(path)
        else:
            path.write_bytes(data)
        return path

    def read(self, path: Path) -> None:
        if self.kind == "checkpoint":
            json.dumps(vw.load(path).info)
        elif self.kind == "state":
            go_on(path)
        elif self.kind == "npz":
            vw.load_data(path)
        else:
            options = self.rng.choice(({}, {}, {"size": 8}, {"size": 8, "channels": 1}, {"on_error": "skip"}))
            vw.load_data(path.parent, **options)

    def listing(self) -> dict:
        """All that lies there, with what it holds and when it was written."""
        return {
            path: (path.stat().st_mtime_ns, path.read_bytes()) if path.is_file() else None
            for path in self.root.rglob("*")
        }


#: Set while a loader runs: what it may not do is refused, and remembered.
watch = {"on": False, "seen": []}


def guard(event: str, arguments: tuple) -> None:
    """Audit hook: a loader writes nothing, starts nothing, connects to nothing, unpickles nothing."""
    if not watch["on"]:
        return
    bad = event in (
        "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate", "os.symlink",
        "os.link", "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen",
        "socket.connect", "pickle.find_class", "shutil.rmtree", "tempfile.mkstemp",
    )  # fmt: skip
    if event == "open":
        flags = arguments[2] or 0
        bad = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND))
    if bad:
        watch["seen"].append(f"{event}{arguments!r}")
        raise PermissionError(f"a loader may not {event}")


def judge(folder: Folder, path: Path) -> tuple[bool, str]:
    """Whether the file was refused, and what is wrong with how."""
    watch["on"] = True
    try:
        folder.read(path)
        return False, ""
    except (ValueError, OSError) as error:
        return True, complain(error, path)
    except BaseException:
        return True, traceback.format_exc(limit=-4)
    finally:
        watch["on"] = False


def complain(error: Exception, path: Path) -> str:
    """Say what a reader would: of which file does it speak, does it give a reason, was it memory?"""
    message = str(error)
    places = (path, path.parent) if path.parent.name == "good" else (path,)
    if not any(str(place) in message or repr(str(place)) in message for place in places):
        return f"does not name the file: {message!r}"
    said = message
    for place in places:
        said = said.replace(repr(str(place)), "").replace(str(place), "")
    if raw := RAW.search(said):
        return f"would send a terminal {raw[0]!r}: {message!r}"
    if message.rstrip().endswith((": .", ":", "()")):
        return f"gives no reason: {message!r}"
    if len(message) > LONGEST_MESSAGE:
        return f"is {len(message)} characters long: {message[:300]!r}"
    cause = error
    while cause is not None:
        if isinstance(cause, (MemoryError, PermissionError)):
            return f"hides a {type(cause).__name__}: {message!r}"
        cause = cause.__cause__ or cause.__context__
    return ""


def state_of(path: Path) -> tuple:
    """Of a file what it holds, of anything else what it is."""
    there = path.lstat()
    return there.st_mtime_ns, path.read_bytes() if stat.S_ISREG(there.st_mode) else there.st_mode


def peak() -> float:
    """The most memory that this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(kind: str, first: int, last: int, root: Path) -> dict:
    """Read the files of the seeds first .. last - 1; what is wrong is in ``failures``, by seed."""
    warnings.simplefilter("ignore")
    folder = Folder(kind, root)
    progress = os.open(root.parent / "seed", os.O_WRONLY | os.O_CREAT)
    # Once with nothing wrong: what is imported on the first use is not the fault of a file.
    warm = root / ("good" if kind == "image" else f"warm.{kind}")
    if kind == "npz":
        np.savez(warm, images=np.zeros((4, 4, 4), "uint8"), labels=np.arange(4))
    elif kind == "image":
        for ending, data in folder.bases:
            (warm / f"other.{ending}").write_bytes(data)
            vw.load_data(warm, size=8)
            (warm / f"other.{ending}").unlink()
    else:
        warm.write_bytes(folder.bases[0])
    if kind != "image":
        folder.read(warm)
        warm.unlink()
    refused, failures, begin = 0, {}, peak()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 2 * BOUNDS[kind] * MIB + 256 * MIB, hard))
    start = folder.listing()
    for seed in range(first, last):
        path = folder.put(seed)
        os.pwrite(progress, b"%8d" % seed, 0)
        before = state_of(path)
        signal.alarm(PATIENCE)
        was_refused, problem = judge(folder, path)
        signal.alarm(0)
        refused += was_refused
        if watch["seen"]:
            problem = f"did what no loader may: {watch['seen']}"
            watch["seen"] = []
        if peak() - begin > BOUNDS[kind]:
            problem = f"brought the peak of memory {peak() - begin:.0f} MiB up, {BOUNDS[kind]} are the bound"
            begin = peak()
        if not os.path.lexists(path) or state_of(path) != before:
            problem = "was changed"
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        if folder.listing() != start:
            problem = "left something behind, or changed another file"
        if problem:
            failures[seed] = problem
    return {"count": last - first, "refused": refused, "failures": failures}


def main() -> None:
    kind, first, *last = sys.argv[1:]
    first = int(first)
    last = int(last[0]) if last else first + 1
    torch.set_num_threads(1)
    sys.addaudithook(guard)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "files"
        root.mkdir()
        report = run(kind, first, last, root)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
