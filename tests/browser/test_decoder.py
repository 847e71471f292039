"""The decoder in a real Chromium, where it may run; tests/test_javascript.py has what it computes."""

import base64
import json

import pytest
import torch

import vaewidgets as vw
from vaewidgets.widgets._core.bundle import bundle_value
from vaewidgets.widgets._core.network_spec import describe

from .harness import import_module

DECODER = bundle_value("_core/network.js")


@pytest.fixture(scope="module")
def page(launch_browser):
    """A blank page with the module imported."""
    page = launch_browser().new_page()
    import_module(page, "_core/network.js")
    yield page
    page.close()


def pack(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("wasm", [True, False])
def test_it_runs_inline_where_eval_and_network_are_forbidden(launch_browser, wasm):
    model = vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0)
    description = describe(model)
    allowed = "'unsafe-inline' 'wasm-unsafe-eval'" if wasm else "'unsafe-inline'"
    policy = f"default-src 'none'; script-src {allowed}; base-uri 'none'"
    # The other script has names like those inside the decoder, as a panel's module may have.
    script = f"""const {{makeNetwork}} = {DECODER};
        const check = 1, product = 2, erf = 3, FORMAT = 4;
        const weights = Uint8Array.from(atob("{pack(description.weights)}"), c => c.charCodeAt(0));
        const network = makeNetwork({json.dumps(description.spec)}, weights);
        window.image = Array.from(network.decode([0.5, -1]));
        window.simd = network.simd;
    """
    page = launch_browser().new_page()
    page.set_content(
        f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<script type="module">{script}</script>'
    )
    page.wait_for_function("() => window.image")
    image = torch.tensor(page.evaluate("image"))
    assert page.evaluate("simd") == wasm
    page.close()
    with torch.no_grad():
        torch.testing.assert_close(image, model.decode(torch.tensor([[0.5, -1.0]])).flatten())


def test_networks_that_nobody_keeps_leave_room_for_more(page):
    """A model that learns is sent again and again, and WebAssembly takes an address range for each."""
    description = describe(vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0))
    fast = page.evaluate(
        """([spec, weights]) => {
            const bytes = Uint8Array.from(atob(weights), c => c.charCodeAt(0));
            return Array.from({length: 3000}, () => makeNetwork(spec, bytes).simd).filter(Boolean).length;
        }""",
        [description.spec, pack(description.weights)],
    )
    assert fast == 3000


def test_it_runs_in_a_worker_of_a_page_without_origin(page):
    """As a page opened from disk is: there a module worker from a Blob does not start."""
    assert page.evaluate("origin") == "null"
    model = vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0)
    description = describe(model)
    image = page.evaluate(
        """([spec, weights]) => new Promise((resolve, reject) => {
            const main = `onmessage = ({data: [spec, weights, z]}) =>
                postMessage(makeNetwork(spec, weights).decodeMany(z));`;
            const url = URL.createObjectURL(new Blob([makeNetwork.source, main]));
            const worker = new Worker(url);
            worker.onmessage = ({data}) => { worker.terminate(); resolve(Array.from(data)); };
            worker.onerror = error => reject(new Error(error.message));
            worker.postMessage([spec, Uint8Array.from(atob(weights), c => c.charCodeAt(0)), [0.5, -1]]);
        })""",
        [description.spec, pack(description.weights)],
    )
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(image), model.decode(torch.tensor([[0.5, -1.0]])).flatten())


@pytest.mark.parametrize("allowed", [True, False])
def test_a_worker_decodes_or_the_page_where_its_policy_forbids_it(launch_browser, allowed):
    model = vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0)
    description = describe(model)
    workers = "blob:" if allowed else "'none'"
    policy = f"default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; worker-src {workers}"
    script = f"""const {{makeWorkerNetwork}} = {bundle_value("_core/decode_worker.js")};
        const weights = Uint8Array.from(atob("{pack(description.weights)}"), c => c.charCodeAt(0));
        const network = makeWorkerNetwork({json.dumps(description.spec)}, weights);
        network.decode([0.5, -1]).then(image => {{ window.image = [network.where, Array.from(image)]; }});
    """
    page = launch_browser().new_page()
    page.set_content(
        f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<script type="module">{script}</script>'
    )
    page.wait_for_function("() => window.image")
    where, image = page.evaluate("image")
    page.close()
    assert where == ("worker" if allowed else "page")
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(image), model.decode(torch.tensor([[0.5, -1.0]])).flatten())
