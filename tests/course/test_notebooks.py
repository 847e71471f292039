"""Copies that never cost a student work, and a JupyterLab that only this machine can reach."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from vaewidgets.cli import app as cli
from vaewidgets.course import doctor, notebooks


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "course"
    (folder / "pictures").mkdir(parents=True)
    (folder / "00-start.ipynb").write_text("zero")
    (folder / "01-map.ipynb").write_text("one")
    (folder / "pictures" / "vae.png").write_bytes(b"\x89PNG")
    for rubbish in (".ipynb_checkpoints", "__pycache__"):
        (folder / rubbish).mkdir()
        (folder / rubbish / "x").write_text("not for students")
    return folder


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- copies ------------------------------------------------------------------------------------------


def test_a_copy_is_whole_and_a_second_one_changes_nothing(tmp_path, course):
    target = tmp_path / "deep" / "mine"
    written, kept = notebooks.copy_notebooks(target, course)
    whole = {"00-start.ipynb": b"zero", "01-map.ipynb": b"one", str(Path("pictures", "vae.png")): b"\x89PNG"}
    assert contents(target) == whole and (len(written), kept) == (3, [])
    assert notebooks.copy_notebooks(target, course) == ([], [])
    assert contents(target) == whole


def test_what_a_student_changed_is_kept_and_what_is_missing_comes(tmp_path, course):
    target = tmp_path / "mine"
    notebooks.copy_notebooks(target, course)
    (target / "00-start.ipynb").write_text("my answers")
    (target / "01-map.ipynb").unlink()
    (target / "notes.txt").write_text("mine alone")
    written, kept = notebooks.copy_notebooks(target, course)
    assert (written, kept) == ([target / "01-map.ipynb"], [target / "00-start.ipynb"])
    assert (target / "00-start.ipynb").read_text() == "my answers"
    assert (target / "notes.txt").read_text() == "mine alone"


def test_the_copy_is_reported(tmp_path, course, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "shipped_notebooks", lambda: (course, False))
    target = tmp_path / "mine"
    target.mkdir()
    (target / "01-map.ipynb").write_text("mine")
    assert cli.main(["copy", str(target)]) == 0
    out = capsys.readouterr().out
    assert f"kept {target / '01-map.ipynb'}: yours differs" in out and f"copied 2 files to {target}" in out


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege on Windows")
class TestLinks:
    @pytest.fixture
    def target(self, tmp_path):
        (tmp_path / "mine").mkdir()
        return tmp_path / "mine"

    def test_links_to_a_file_and_to_nowhere_are_not_written_through(self, tmp_path, course, target):
        (tmp_path / "outside.txt").write_text("dear")
        (target / "00-start.ipynb").symlink_to(tmp_path / "outside.txt")
        (target / "01-map.ipynb").symlink_to(tmp_path / "nowhere")
        _, kept = notebooks.copy_notebooks(target, course)
        assert kept == [target / "00-start.ipynb", target / "01-map.ipynb"]
        assert (tmp_path / "outside.txt").read_text() == "dear" and not (tmp_path / "nowhere").exists()

    def test_a_linked_folder_inside_is_refused_and_nothing_is_copied(self, tmp_path, course, target):
        outside = tmp_path / "outside"
        outside.mkdir()
        (target / "pictures").symlink_to(outside)
        with pytest.raises(ValueError, match=r"pictures is a link; expected a folder"):
            notebooks.copy_notebooks(target, course)
        assert contents(outside) == {} and not (target / "00-start.ipynb").exists()

    def test_the_target_itself_may_be_a_link(self, tmp_path, course):
        (tmp_path / "disk").mkdir()
        (tmp_path / "mine").symlink_to(tmp_path / "disk")
        notebooks.copy_notebooks(tmp_path / "mine", course)
        assert (tmp_path / "disk" / "00-start.ipynb").read_text() == "zero"


def test_things_in_the_way_are_named_and_nothing_is_copied(tmp_path, course):
    (tmp_path / "file").write_text("dear")
    (tmp_path / "mine" / "01-map.ipynb").mkdir(parents=True)
    (tmp_path / "yours").mkdir()
    (tmp_path / "yours" / "pictures").write_text("a file")
    for target, words in (
        ("file", "is a file; expected a folder"),
        ("mine", "is a folder; a notebook of that name belongs there"),
        ("yours", "pictures is a file; expected a folder"),
    ):
        with pytest.raises(ValueError, match=words):
            notebooks.copy_notebooks(tmp_path / target, course)
    assert (tmp_path / "file").read_text() == "dear"
    assert contents(tmp_path / "mine") == {} and list(contents(tmp_path / "yours")) == ["pictures"]


def test_an_interrupted_copy_leaves_no_half_file(tmp_path, monkeypatch):
    class FullDisk(io.FileIO):
        def write(self, data):
            super().write(data[:2])
            raise OSError("No space left on device")

    monkeypatch.setattr(Path, "open", lambda self, mode: FullDisk(self, mode))
    with pytest.raises(OSError, match="No space left"):
        notebooks._write_new(tmp_path / "x.ipynb", b"whole")
    assert list(tmp_path.iterdir()) == []


def test_an_installation_without_notebooks_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(
        notebooks, "__file__", str(tmp_path / "site" / "vaewidgets" / "course" / "notebooks.py")
    )
    with pytest.raises(FileNotFoundError, match="Reinstall vaewidgets"):
        notebooks.shipped_notebooks()


def test_this_checkout_opens_its_own_notebooks():
    assert notebooks.shipped_notebooks() == (Path(__file__).parents[2] / "notebooks", True)


# --- the command -------------------------------------------------------------------------------------


def test_the_command_for_jupyterlab(monkeypatch, tmp_path):
    monkeypatch.setattr(notebooks, "is_root", lambda: False)
    command = notebooks.lab_command(tmp_path)
    assert command[:4] == [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={tmp_path}"]
    assert "--ServerApp.ip=127.0.0.1" in command
    assert not {"--no-browser", "--allow-root"} & set(command)
    command = notebooks.lab_command(
        tmp_path, browser=False, port=9999, extra=["--LabApp.default_url=/lab/x", "--debug"]
    )
    assert {"--no-browser", "--ServerApp.port=9999", "--LabApp.default_url=/lab/x", "--debug"} <= set(command)
    monkeypatch.setattr(notebooks, "is_root", lambda: True)
    assert "--allow-root" in notebooks.lab_command(tmp_path)


@pytest.mark.parametrize(
    "word",
    [
        "--ip=0.0.0.0",
        "--ip",
        "--ServerApp.ip=*",
        "--ServerApp.token=",
        "--IdentityProvider.token=''",
        "--ServerApp.disable_check_xsrf=True",
        "--ServerApp.allow_origin=*",
        "--ServerApp.allow_remote_access=True",
        "--ServerApp.identity_provider_class=x.Open",
        "--PasswordIdentityProvider.hashed_password=x",
        "--ServerApp.tornado_settings={'headers': {}}",
        "--LabApp.serverapp_config={'ip': '0.0.0.0'}",
        "--ServerApp.root_dir=/",
        "--config=evil.py",
        "--debug=--ip",
        "-f",
        "0.0.0.0",
    ],
)
def test_options_that_open_the_server_are_refused(tmp_path, launched, capsys, word):
    assert cli.main(["lab", str(tmp_path / "mine"), "--", word, "0.0.0.0"]) == 1 and launched == []
    assert "keeps it to this machine" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists(), "refused before anything is copied"


def test_lab_copies_where_it_is_told_and_from_a_wheel(tmp_path, course, monkeypatch, launched):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lab", "mine", "--no-browser"]) == 7, "JupyterLab's exit status"
    monkeypatch.setattr(notebooks, "shipped_notebooks", lambda: (course, False))
    assert cli.main(["lab"]) == 7
    assert (tmp_path / notebooks.DEFAULT_FOLDER / "00-start.ipynb").read_text() == "zero"
    roots = [command[3].partition("=")[2] for command in launched]
    assert roots == [str(tmp_path / "mine"), str(tmp_path / notebooks.DEFAULT_FOLDER)]
    assert "--no-browser" in launched[0] and "--no-browser" not in launched[1]


def test_the_command_line_waits_for_nothing_it_does_not_need(tmp_path):
    code = (
        "import sys; from vaewidgets.cli import app as cli; "
        "from vaewidgets.course import doctor, notebooks; notebooks.launch = lambda command: 0; "
        "status = cli.main(['lab', '--no-browser']); "
        "print(status, {'torch', 'plotly', 'ipywidgets', 'numpy', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 set()"


@pytest.mark.parametrize(
    "extra",
    [
        ["--debug"],
        ["--log-level", "DEBUG"],
        ["--ServerApp.browser=firefox"],
        ["--ServerApp.terminals_enabled", "False"],
    ],
)
def test_options_that_open_nothing_are_passed_on_before_what_is_pinned(tmp_path, extra):
    command = notebooks.lab_command(tmp_path, extra=extra)
    at = command.index(extra[0])
    assert command[at : at + len(extra)] == extra
    # Of two words for one option the later one counts.
    assert at + len(extra) <= min(command.index(word) for word in notebooks._PINNED)


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path, launched, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert cli.main(["lab", str(tmp_path / "mine"), "--port", port]) == 1
    assert f"--port {port} cannot be used: " in capsys.readouterr().err
    assert not (tmp_path / "mine").exists() and launched == [], "refused before anything is copied"
    assert cli.main(["lab", str(tmp_path / "mine"), "--port", port]) == 7
    assert {f"--ServerApp.port={port}", "--ServerApp.port_retries=0"} <= set(launched[0])
    again = ["--ServerApp.port_retries=0"]
    command = notebooks.lab_command(tmp_path, port=int(port), extra=again)
    assert command.count(again[0]) == 1, "JupyterLab takes no option twice"


@pytest.mark.parametrize("name", notebooks._CONFIGURATIONS)
@pytest.mark.parametrize("line", ["c.ServerApp.token = ''", "c.IdentityProvider.token = ''"])
def test_a_configuration_that_takes_the_token_away_is_refused(
    tmp_path, monkeypatch, launched, capsys, name, line
):
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    (tmp_path / f"{name}.py").write_text(line)
    assert cli.main(["lab", str(tmp_path / "mine")]) == 1
    assert f"{name} sets {line.split()[0][2:]} to nothing" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists() and launched == []
    (tmp_path / f"{name}.py").write_text(line.replace("''", "'secret'"))
    notebooks.check_start(None)


def test_a_token_file_without_a_token_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)
    monkeypatch.setenv("JUPYTER_TOKEN_FILE", str(tmp_path / "token"))
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(ValueError, match="holds no token"):
        notebooks.check_start(None)
    (tmp_path / "token").write_text("secret")
    notebooks.check_start(None)


@pytest.mark.skipif(os.name != "posix", reason="HOME is of POSIX")
def test_a_home_that_cannot_be_written_is_said_before_anything_starts(
    tmp_path, monkeypatch, launched, capsys
):
    for name in list(os.environ):
        if name.startswith(("JUPYTER", "IPYTHON", "XDG")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert doctor.home().status == "ok", "what is missing will be made"
    (tmp_path / "home").write_text("a file")
    status, _, detail, remedy = doctor.home()
    assert status == "problem" and str(tmp_path / "home") in detail and "HOME" in remedy
    assert cli.main(["lab", str(tmp_path / "mine")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["home"] and launched == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="FIFOs of POSIX")
def test_a_fifo_in_place_of_a_notebook_is_not_waited_for(tmp_path, course):
    (tmp_path / "mine").mkdir()
    os.mkfifo(tmp_path / "mine" / "00-start.ipynb")
    assert notebooks.copy_notebooks(tmp_path / "mine", course)[1] == [tmp_path / "mine" / "00-start.ipynb"]


# --- a real server -----------------------------------------------------------------------------------


HOSTILE = """
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.allow_remote_access = True
c.ServerApp.allow_origin = "*"
c.ServerApp.allow_origin_pat = ".*"
c.ServerApp.allow_credentials = True
c.ServerApp.disable_check_xsrf = True
c.ServerApp.local_hostnames = ["evil.example"]
c.ServerApp.tornado_settings = {"headers": {"Access-Control-Allow-Origin": "*"}}
c.ServerApp.identity_provider_class = "nowhere.Open"
c.PasswordIdentityProvider.hashed_password = "sha1:x:y"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """``vaewidgets lab`` on a free port; its address and token as it prints them."""
    home = tmp_path_factory.mktemp("lab")
    # A user's own kernelspec "python3", of a Python that is not there: it must not win.
    spec = home / "data" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        '{"argv": ["/nowhere/python"], "display_name": "stale", "language": "python"}'
    )
    # Nor what a configuration file says against what is promised.
    (home / "config").mkdir()
    for name in ("jupyter_server_config.py", "jupyter_lab_config.py"):
        (home / "config" / name).write_text(HOSTILE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    environment |= {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "vaewidgets", "lab", str(home / "mine"), "--no-browser"]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    try:
        printed = []
        for line in process.stdout:
            printed.append(line)
            if found := re.search(r"(http://[^/]+)/lab\?token=(\w+)", line):
                break
        else:
            pytest.fail("vaewidgets lab ended without an address:\n" + "".join(printed))
        # The address is printed a moment before the server listens.
        while not listens(found[1]):
            assert process.poll() is None, "".join([*printed, process.stdout.read()])
        yield found[1], found[2], home, process
    finally:
        process.kill()
        process.communicate()


def listens(address):
    host, _, port = address.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=120).close()
    except ConnectionRefusedError:
        time.sleep(0.05)
        return False
    return True


def ask(address, token=None, method="GET", **headers):
    """Return the status and the text of an answer; no proxy may see a loopback address."""
    if token:
        headers["Authorization"] = f"token {token}"
    data = b"{}" if method == "POST" else None
    request = urllib.request.Request(address, data, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=120) as answer:
            assert answer.headers.get("Access-Control-Allow-Origin") != "*"
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_real_server_is_local_and_locked_and_runs_our_kernel(server):
    address, token, home, process = server
    assert re.match(r"http://(127\.0\.0\.1|localhost):\d+$", address)
    assert ask(f"{address}/api/contents")[0] == 403, "the token is on"
    assert ask(f"{address}/api/contents", token, Host="evil.example")[0] == 403, (
        "a foreign name of this machine"
    )
    # What comes from a foreign origin is not even told that there is something.
    assert ask(f"{address}/api/kernels", method="POST", Origin="http://evil.example")[0] == 404
    status, text = ask(f"{address}/api/contents", token)
    shipped = {path.name for path in notebooks._notebook_files(notebooks.shipped_notebooks()[0])}
    assert status == 200 and all(name in text for name in shipped)
    assert (home / "mine").is_dir()
    # Without a token, and without the XSRF cookie: no kernel.
    assert ask(f"{address}/api/kernels", method="POST")[0] == 403
    status, text = ask(f"{address}/api/kernelspecs/python3", token)
    assert status == 200 and "stale" not in text and "ipykernel_launcher" in text

    process.send_signal(signal.SIGINT)  # without a terminal to ask in, one is enough
    process.wait(timeout=120)
