"""What panels of one model share: its lock, notice of new weights, the exclusive right to train it."""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager

_locks: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_followers: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_owners: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
#: Re-entrant: whoever holds it may be made to forget a panel, which closes that.
_guard = threading.RLock()


def model_lock(model) -> threading.RLock:
    """Return the one re-entrant lock of `model`, shared by every panel and thread that uses it."""
    with _guard:
        return _locks.setdefault(model, threading.RLock())


def follow(model, panel) -> None:
    """Have ``panel.weights_changed()`` called when another panel trains `model`, as long as `panel` lives."""
    with _guard:
        _followers.setdefault(model, weakref.WeakSet()).add(panel)


def unfollow(panel) -> None:
    """Stop notifying `panel` of any model."""
    with _guard:
        for panels in list(_followers.values()):
            panels.discard(panel)


def followers(model) -> list:
    """List the panels that follow `model`."""
    with _guard:
        return list(_followers.get(model, ()))


def notify(model, sender) -> None:
    """Notify the panels that follow `model`, except `sender`, that its weights have changed.

    A panel that raises shows the error in its own error line; the other panels and the training go on.
    """
    for panel in followers(model):
        if panel is not sender:
            try:
                panel.weights_changed()
            except Exception as error:
                panel.show_error(error)


def acquire(model, panel) -> None:
    """Give `panel` alone the right to change the weights of `model`.

    Raises
    ------
    RuntimeError
        Another one has it.
    """
    with _guard:
        owner = _owners.get(model)
        if owner is not None and owner() is not None:
            raise RuntimeError("another cockpit is training this model: pause or stop that one first.")
        _owners[model] = weakref.ref(panel)


def release(model, panel) -> None:
    """Give that right back, if `panel` has it."""
    with _guard:
        owner = _owners.get(model)
        if owner is not None and owner() is panel:
            del _owners[model]


@contextmanager
def exclusive(model, panel):
    """Change the weights of `model` while no other panel does, and none looks at them."""
    acquire(model, panel)
    try:
        with model_lock(model):
            yield
    finally:
        release(model, panel)
