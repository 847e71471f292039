"""The driver itself: what a page complains of is heard, and hand and keys are real."""

PAGE = """<!doctype html><button id="b" style="position: fixed; inset: 50px">b</button>
<script>
    window.seen = [];
    function complain() {
        console.error('printed', 1);
        setTimeout(() => { throw new Error('thrown'); });
        Promise.reject(new Error('rejected'));
    }
    for (const type of ['mousedown', 'mousemove', 'click', 'keydown', 'wheel']) {
        document.addEventListener(type, event => seen.push([type, event.isTrusted, event.target.id]));
    }
</script>"""


def test_complaints_are_heard_and_input_is_real(tab, tmp_path):
    (tmp_path / "page.html").write_text(PAGE)
    tab.goto((tmp_path / "page.html").as_uri())
    assert tab.evaluate("() => [innerWidth, innerHeight]") == [1280, 900]
    assert tab.messages == []
    tab.evaluate("() => complain()")
    tab.wait_for_function("() => window.vwConsole.length === 3")
    assert all(said.startswith("error: ") for said in tab.messages)
    for word in ("printed 1", "rejected"):  # of what is thrown in a file from disk, WebKit says nothing more
        assert any(word in said for said in tab.messages)
    tab.locator("button", has_text="B").click()
    tab.mouse.wheel(0, 10)
    tab.keyboard.press("ArrowRight")
    wanted = {"mousedown", "mousemove", "click", "keydown", "wheel"}
    tab.wait_for_function(
        "wanted => wanted.every(type => seen.some(([one]) => one === type))", sorted(wanted)
    )
    assert tab.evaluate("() => seen.every(([, real, id]) => real && id === 'b')")
    assert tab.locator("button").nth(0).text_content() == "b"
