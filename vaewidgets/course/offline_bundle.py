"""``vaewidgets wheels``: a folder with all wheels that laptops without network need."""

from __future__ import annotations

import base64
import email
import hashlib
import json
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from vaewidgets._utils.private_apis import PIP_ELSEWHERE
from vaewidgets._version import __version__

from .notebooks import check_folder, shipped_notebooks

#: The file of commands beside the wheels, written at every run.
README = "README.txt"


class Platform(NamedTuple):
    """A kind of laptop.

    Attributes
    ----------
    title : str
    tags : tuple of str
        pip's names for it, newest first: wheels for the older ones work there too.
    markers : dict
        The environment markers (PEP 508) of requirements there.

    Examples
    --------
    >>> PLATFORMS["macos"].title
    'macOS 14 or newer (Apple silicon)'
    """

    title: str
    tags: tuple[str, ...]
    markers: dict[str, str]


def _linux(machine: str) -> Platform:
    # Every glibc up to that of torch's wheels, because pip does not know that a tag includes the older ones.
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(28, 4, -1)]
    tags += [f"manylinux{name}_{machine}" for name in ("2014", "2010", "1")]
    markers = dict(os_name="posix", sys_platform="linux", platform_system="Linux", platform_machine=machine)
    return Platform(f"Linux ({machine})", tuple(tags), markers)


PLATFORMS = {
    "linux": _linux("x86_64"),
    "linux-arm": _linux("aarch64"),
    "windows": Platform(
        "Windows (64 bit)", ("win_amd64",),
        dict(os_name="nt", sys_platform="win32", platform_system="Windows", platform_machine="AMD64"),
    ),
    "macos": Platform(
        "macOS 14 or newer (Apple silicon)", ("macosx_14_0_arm64",),
        dict(os_name="posix", sys_platform="darwin", platform_system="Darwin", platform_machine="arm64"),
    ),
}  # fmt: skip

#: Platforms that people ask for and that cannot be supported, with the reason.
_IMPOSSIBLE = {
    "macos-intel": "PyTorch has no wheels for Macs with Intel processors since 2.3, and vaewidgets needs "
    "2.6. Give these students a server, Binder or the exported pages.",
}


def add_arguments(parser) -> None:
    """Add the options of ``vaewidgets wheels`` to an argparse parser."""
    parser.add_argument("folder", metavar="DIR", help="made if it does not exist")
    parser.add_argument(
        "--platform",
        nargs="+",
        choices=[*PLATFORMS, *_IMPOSSIBLE],
        metavar="NAME",
        help=f"of the laptops: {', '.join(PLATFORMS)} (default: this machine's)",
    )
    parser.add_argument(
        "--python", nargs="+", metavar="3.X", help="of the laptops (default: this one's version)"
    )
    parser.add_argument(
        "--torch-index-url",
        metavar="URL",
        help="take torch and torchvision from there: for Linux, the index of CPU wheels that PyTorch's "
        "installation page names spares some 3 GB (default: pip's own)",
    )


def run(args) -> int:
    """Fill a folder for each platform and print what is in it; return the exit status."""
    pythons = check_pythons(args.python or ["{}.{}".format(*sys.version_info)])
    names = check_platforms(args.platform or [this_platform()])
    if util.find_spec("pip") is None:
        raise RuntimeError(f"{sys.executable} has no pip: run {sys.executable} -m ensurepip.")
    with tempfile.TemporaryDirectory() as scratch:
        own = own_wheel(Path(scratch))
        for name in names:
            folder = Path(args.folder) / name
            fill(folder, own, PLATFORMS[name], pythons, torch_index_url=args.torch_index_url)
            sizes = [path.stat().st_size for path in folder.glob("*.whl")]
            print(
                f"{folder}: {len(sizes)} wheels, {sum(sizes) / 1e6:,.0f} MB; {README} there says what to type"
            )
    return 0


def check_pythons(pythons: Iterable[str]) -> list[str]:
    """Sort versions of Python in ascending order, each once.

    Raises
    ------
    ValueError
        One is no version, or too old for this package.

    Examples
    --------
    >>> check_pythons(["3.13", "3.11", "3.13"])
    ['3.11', '3.13']
    """
    needed = SpecifierSet(metadata.metadata("vaewidgets")["Requires-Python"])
    for text in pythons:
        if not re.fullmatch(r"3\.\d{1,2}", text):
            raise ValueError(f"--python expects a version as 3.12; got {text!r}.")
        if not needed.contains(text):
            raise ValueError(f"--python {text}: vaewidgets needs Python {needed}.")
    return sorted(set(pythons), key=Version)


def check_platforms(names: Iterable[str]) -> list[str]:
    """Return the names of platforms, each once.

    Raises
    ------
    ValueError
        There is no torch for one of them.

    Examples
    --------
    >>> check_platforms(["windows", "macos", "windows"])
    ['windows', 'macos']
    """
    for name in names:
        if name in _IMPOSSIBLE:
            raise ValueError(f"--platform {name}: {_IMPOSSIBLE[name]}")
    return list(dict.fromkeys(names))


def this_platform() -> str:
    """Return the name of this machine's platform.

    Raises
    ------
    ValueError
        It has none.

    Examples
    --------
    >>> this_platform() in {*PLATFORMS, "macos-intel"}
    True
    """
    system, machine = platform.system(), platform.machine()
    names = {(p.markers["platform_system"], p.markers["platform_machine"]): n for n, p in PLATFORMS.items()}
    names["Darwin", "x86_64"] = "macos-intel"
    if (system, machine) not in names:
        known = ", ".join(PLATFORMS)
        raise ValueError(
            f"This machine is {system} on {machine}; name the laptops' kind, --platform {known}."
        )
    return names[system, machine]


def fill(
    folder: Path, own: Path, target: Platform, pythons: Iterable[str], *, torch_index_url: str | None = None
) -> None:
    """Put vaewidgets, all that it needs and the commands into `folder`; keep what is there.

    Parameters
    ----------
    folder : Path
        Made if it does not exist. The versions of the wheels in it are kept.
    own : Path
        The wheel of vaewidgets.
    target : Platform
    pythons : iterable of str
        As ``"3.12"``, ascending.
    torch_index_url : str, optional
        Where torch and torchvision come from; pip's own index if None.

    Raises
    ------
    RuntimeError
        pip could not get something; it has printed what.
    ValueError
        There is a wheel of this version of vaewidgets with other contents, or `folder` is a file.
    """
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    own, data = folder / own.name, own.read_bytes()
    if not own.exists():
        own.write_bytes(data)
    elif own.read_bytes() != data:
        raise ValueError(
            f"{own} is vaewidgets {__version__} too, with other contents. Delete it, or name a new folder."
        )
    for python in pythons:
        there = {**target.markers, "python_version": python, "python_full_version": f"{python}.0"}
        if torch_index_url is not None:
            pair = ["--no-deps", "--index-url", torch_index_url, "torch", "torchvision"]
            _pip(download_command(folder, target, python, pair), folder, there)
        _pip(download_command(folder, target, python, [str(own)]), folder, there)
        if lacking := missing(folder, own, there):
            raise RuntimeError(
                f"{folder} is not whole for Python {python}, it lacks {', '.join(lacking)}: this pip cannot "
                "choose for another machine. Upgrade it (pip install --upgrade pip) and go on."
            )
    (folder / README).write_text(instructions(folder, target), encoding="utf-8")


def download_command(folder: Path, target: Platform, python: str, what: Iterable[str]) -> list[str]:
    """Build the arguments with which pip downloads wheels of `what` for a platform and a Python.

    Examples
    --------
    >>> download_command(Path("out"), PLATFORMS["windows"], "3.12", ["torch"])[-5:]
    ['--platform', 'win_amd64', '--python-version', '3.12', 'torch']
    """
    command = ["download", "--only-binary=:all:", "--dest", str(folder), "--find-links", str(folder)]
    platforms = [word for tag in target.tags for word in ("--platform", tag)]
    return [*command, *platforms, "--python-version", python, *what]


def own_wheel(folder: Path) -> Path:
    """Make the wheel of vaewidgets in `folder`, from the checkout or from the installed files.

    Raises
    ------
    RuntimeError
        It cannot be built, or an installed file has been changed.
    """
    if not shipped_notebooks()[1]:
        return repack(metadata.distribution("vaewidgets"), folder)
    command = ["wheel", "--no-deps", "--wheel-dir", str(folder), str(Path(__file__).parents[2])]
    if util.find_spec("hatchling"):  # the build backend is installed and need not be downloaded
        command.append("--no-build-isolation")
    _pip(command)
    (path,) = folder.glob("vaewidgets-*.whl")
    return path


def repack(distribution: metadata.Distribution, folder: Path) -> Path:
    """Make again the wheel from which a package was installed, with the files of its RECORD only.

    Raises
    ------
    RuntimeError
        A file is missing or differs from its hash there.
    """
    made_here = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"}
    files, lines = {}, []
    for file in distribution.files or ():
        if ".." in file.parts or file.suffix == ".pyc" or (file.name in made_here and len(file.parts) == 2):
            continue  # a script, or a file that the installation added
        name, there = file.as_posix(), Path(file.locate())
        data = there.read_bytes() if there.is_file() else b""
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        if file.hash is None or digest != file.hash.value:
            raise RuntimeError(
                f"{there} is not as it was installed, so the wheel cannot be made from it. Reinstall "
                "vaewidgets, or run this in a checkout."
            )
        files[name] = data
        lines.append(f"{name},sha256={digest},{len(data)}")
    (info,) = {Path(name).parent.as_posix() for name in files if name.endswith(".dist-info/WHEEL")}
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    tag = email.message_from_bytes(files[f"{info}/WHEEL"])["Tag"]
    path = folder / f"{info.removesuffix('.dist-info')}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            # A fixed date: the same files make the same wheel.
            archive.writestr(zipfile.ZipInfo(name, (2020, 2, 2, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return path


def missing(folder: Path, wheel: Path, environment: dict[str, str]) -> list[str]:
    """List the requirements of `wheel`, and of all that it needs, for which there is no wheel in `folder`.

    Parameters
    ----------
    folder, wheel : Path
    environment : dict
        The environment markers of the laptop.

    Returns
    -------
    list of str
        Requirements, sorted; empty if the folder is complete.
    """
    there = _wheels(folder)
    lacking, seen, todo = set(), set(), [(wheel, "")]
    while todo:
        if (job := todo.pop()) in seen:
            continue
        seen.add(job)
        path, extra = job
        for line in _metadata(path).get_all("Requires-Dist", []):
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({**environment, "extra": extra}):
                continue
            fits = [
                found
                for version, found in there.get(canonicalize_name(requirement.name), [])
                if requirement.specifier.contains(version, prereleases=True)
            ]
            if not fits:
                lacking.add(str(requirement))
            todo += [(found, extra) for found in fits for extra in ("", *requirement.extras)]
    return sorted(lacking)


def instructions(folder: Path, target: Platform) -> str:
    """Write the text of README.txt: the commands for students, for the Pythons whose torch is in `folder`."""
    pythons = sorted(
        {
            (int(found[1]), int(found[2]))
            for path in folder.glob("torch-*.whl")
            if (found := re.search(r"-cp(\d)(\d+)-", path.name))
        }
    )
    versions = [f"{major}.{minor}" for major, minor in pythons]
    if target.markers["os_name"] == "nt":
        python, programs = f"py -{versions[-1]}", "env\\Scripts\\"
    else:
        python, programs = f"python{versions[-1]}", "env/bin/"
    return f"""vaewidgets {__version__} for {target.title} and Python {" or ".join(versions)}.
Nothing here needs a network. Python itself is not in this folder: install it first.

Copy this folder to the laptop, open a terminal in the copy and type, once:

    {python} -m venv env
    {programs}pip install --no-index --find-links . vaewidgets
    {programs}vaewidgets doctor

The doctor says "0 problems found". Then, and whenever the work goes on:

    {programs}vaewidgets lab

The notebooks are in vaewidgets-notebooks, beside this file. Nothing there is ever overwritten.
"""


def _metadata(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        return email.message_from_bytes(archive.read(name))


def _pip(arguments: list[str], folder: Path | None = None, there: dict[str, str] | None = None) -> None:
    """Run pip as on a machine with the markers `there`, and with the versions that `folder` has."""
    with tempfile.TemporaryDirectory() as scratch:
        if folder is not None:
            file = Path(scratch) / "constraints.txt"
            file.write_text("\n".join(constraints(folder)))
            arguments = [*arguments, "--constraint", str(file)]
        command = [sys.executable, "-c", PIP_ELSEWHERE, json.dumps(there or {}), *arguments]
        status = subprocess.run(command, check=False).returncode
    if status:
        where = f" for {folder}" if folder else ""
        kept = " The versions of the wheels in it are kept; for others name a new folder." if folder else ""
        raise RuntimeError(f"pip {arguments[0]} failed{where}; its reason stands above.{kept}")


def constraints(folder: Path) -> list[str]:
    """List a constraint for every package of which `folder` has one version, so that pip takes that one."""
    versions = {name: {version for version, _ in found} for name, found in _wheels(folder).items()}
    return [
        f"{name}=={version}"
        for name, (version, *others) in sorted(versions.items())
        if not others and name != "vaewidgets"
    ]


def _wheels(folder: Path) -> dict[str, list[tuple[Version, Path]]]:
    """Return the version and the path of each wheel in a folder, by the name of its package."""
    found = defaultdict(list)
    for path in folder.glob("*.whl"):
        name, version, *_ = parse_wheel_filename(path.name)
        found[str(name)].append((version, path))
    return found
