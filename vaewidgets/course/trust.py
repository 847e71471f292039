"""The course that JupyterLab trusts: the notebooks as they ship, and nothing else.

JupyterLab shows a widget out of a stored output only where this user has signed the notebook, and signs it
again at each save. Without a signature a page that is loaded again has the text of its panels alone, although
their kernel lives. A signature is of a content, wherever its file lies. So the contents that ship are signed:
their unchanged copies are trusted in every folder, and what anybody has changed, or brought along, is not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import closing
from pathlib import Path

#: One line for each notebook that ships, as of ``sha256sum``; `tests/refresh_notebooks.py` writes it. In a
#: checkout people work in the folder that ships, so what lies there now need not be ours any more.
DIGESTS = Path(__file__).with_name("notebooks.sha256")


def digest(text: str) -> str:
    """Return the SHA-256 of a notebook's content, whatever the spaces and line ends of its file.

    Raises
    ------
    ValueError, RecursionError
        It is not JSON, or nested too deep.
    """
    canonical = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def unchanged(source: Path) -> dict[str, str]:
    """Return {name: text} of the notebooks below `source` that are as they shipped, outputs included."""
    found = {}
    for line in DIGESTS.read_text(encoding="ascii").splitlines():
        expected, name = line.split("  ", 1)
        try:
            text = (source / name).read_text(encoding="utf-8")
            same = digest(text) == expected
        except (OSError, ValueError, RecursionError):  # not there, or no notebook any more
            continue
        if same:
            found[name] = text
    return found


def sign(source: str | os.PathLike[str]) -> list[str]:
    """Sign the notebooks below `source` that are as they shipped, for the user who runs this.

    Returns
    -------
    list of str
        Their names. Others stay as trusted, or not, as they were.

    Raises
    ------
    OSError
        The signatures cannot be stored. It says where, and what that means for the user.
    """
    ours = unchanged(Path(source))
    if ours:
        try:
            _sign(ours.values())
        except Exception as error:  # a locked database, a secret that may not be read, a bad setting
            raise OSError(
                f"the notebooks could not be signed as trusted: {error}. They work, but a page that is loaded"
                " again shows their panels as text until their cells are run again. Make Jupyter's data"
                " folder writable (jupyter --data-dir says where it is), then run this command again."
            ) from error
    return list(ours)


def _sign(texts) -> None:
    # Here: nbformat takes longer to import than a copy takes.
    import nbformat
    from jupyter_core.application import JupyterApp
    from nbformat.sign import NotebookNotary

    # The server's settings: some move the database away from a network drive.
    settings = JupyterApp(config_file_name="jupyter_server_config", log_level=logging.ERROR)
    settings.initialize(argv=[])
    notary = NotebookNotary(parent=settings, data_dir=settings.data_dir)
    with closing(notary.store):
        if getattr(notary.store, "db_file", None) != notary.db_file:
            raise OSError(f"{notary.db_file} cannot be opened")  # signatures would end with this process
        for text in texts:
            # As the server reads it, since what it reads is what it looks up.
            notary.sign(nbformat.reads(text, as_version=4))
