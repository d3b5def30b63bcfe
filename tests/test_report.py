"""Reports: what stands in them, that names stay text, and that a browser shows them."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import torch

import patience
import sounds
import synaptrace as st
from synaptrace import cli, config, report
from synaptrace.errors import UserError
from synaptrace.keyword import calibrated, table
from synaptrace.report import charts, facts, network, page
from synaptrace.training import run as runs

pytest.importorskip("plotly", reason="Plotly is not installed (extra report)")

EVIL = "<script>window.broken = 1</script>"
LIMIT = 5_000_000
SMALL = ["--model.hidden", "[12]", "--data.dt", "100", "--quiet"]


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose classes have names that a careless page would obey."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    rates = torch.rand(3, 12, generator=draws)[labels].expand(6, 60, 12)
    events = torch.bernoulli(rates, generator=draws).transpose(0, 1)
    classes = (EVIL, "</script><b>", "a&amp;%{x}")
    data = st.TensorData(events, labels, classes=classes, batch_size=16)
    net = st.mlp(12, [16], 3, neuron=st.LIF(threshold=0.3), generator=draws)
    rule = st.rules.make("tp", net, generator=draws)
    run = tmp_path_factory.mktemp("report") / "evil"
    st.fit(net, rule, data, epochs=3, lr=1e-2, run=run, progress=False)
    file = report.write(run, run / "report.html", sample=2)
    assert file.stat().st_size < LIMIT
    return file


@pytest.fixture
def browser() -> Iterator[Any]:
    """Headless Chromium by its own driver, as wide as a phone where asked."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium or chromedriver is not installed")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    yield made
    made.quit()


def until(browser: Any, script: str) -> Any:
    """What ``script`` gives once it gives something."""
    return patience.until(lambda: browser.execute_script(f"return {script}"), script)


def test_a_browser_shows_it(evil: Path, browser: Any) -> None:
    """On a phone: no errors, no sideways scrolling, tabs, hover, and names that are text."""
    phone = {"width": 375, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.get(evil.as_uri())
    until(browser, "document.documentElement.dataset.ready")
    tabs = browser.find_elements("css selector", "nav button")
    assert [tab.text for tab in tabs] == [
        "Outcome", "Curves", "Confusion", "Sample", "Embedding", "Memory and cost", "Environment",
        "Repeat",
    ]  # fmt: skip
    for number, tab in enumerate(tabs):
        tab.click()
        shown = "[...document.querySelectorAll('main section')].findIndex(s => !s.hidden)"
        assert browser.execute_script(f"return {shown}") == number
        drawn = "[...document.querySelectorAll('section:not([hidden]) .chart')]"
        until(browser, f"{drawn}.every(c => c.querySelector('.main-svg'))")
        width = "document.documentElement.scrollWidth"
        assert browser.execute_script(f"return {width}") <= 375, tab.text
    tabs[2].click()
    assert EVIL in until(browser, "document.querySelector('main section:not([hidden])').innerText")
    place = browser.find_element("css selector", "section:not([hidden]) .nsewdrag")
    actions = pytest.importorskip("selenium.webdriver").ActionChains(browser)
    actions.move_to_element_with_offset(place, -place.size["width"] // 3, 0).perform()
    hover = "document.querySelector('section:not([hidden]) .hoverlayer')?.textContent"
    assert "predicted <script>window.broken" in until(browser, hover)
    ends = "document.querySelector('#section-4 .infolayer').textContent"
    tabs[4].click()
    assert "</script><b>" in until(browser, ends)
    assert browser.execute_script("return window.broken") is None
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    until(browser, "getComputedStyle(document.body).backgroundColor === 'rgb(20, 22, 26)'")
    assert browser.get_log("browser") == []


def test_names_and_data_are_escaped(evil: Path) -> None:
    text = evil.read_text("utf-8")
    assert EVIL not in text
    assert text.count("<script") == text.count("</script>") == 3
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.S)
    assert found
    assert "<" not in found[1]
    matrix = next(c for c in json.loads(found[1]) if c["data"][0]["type"] == "heatmap")
    assert matrix["layout"]["xaxis"]["ticktext"][1] == "&lt;/script&gt;&lt;b&gt;"
    assert "was trained from Python" in text
    assert not re.search(r'(?:src|href)="', text[: text.index('id="library"')])  # nothing to fetch


def commands(file: Path) -> list[list[str]]:
    """The command lines that a report holds."""
    found = re.findall(r"<pre>(synaptrace .*?)</pre>", file.read_text("utf-8"), re.S)
    return [shlex.split(unescape(each))[1:] for each in found]


def test_a_run_of_seeds_says_how_to_train_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", *SMALL, "--train.epochs", "2", "--seeds", "2", "--train.lr_readout", "5e-3"]
    assert cli.main([*words, "--out", str(tmp_path / "r")]) == 0
    (run,) = (tmp_path / "r").iterdir()
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    read: list[str] = []
    batches = st.data.dataset.ArrayDataset.batches
    monkeypatch.setattr(
        st.data.dataset.ArrayDataset, "batches",
        lambda self, split, generator=None: read.append(split) or batches(self, split, generator),
    )  # fmt: skip
    assert cli.main(["report", str(run), "--sample", "3"]) == 0
    assert {"validation", "train"} == set(read)  # and no test set
    file = run / "report.html"
    assert capsys.readouterr().out.splitlines()[-1] == str(file)
    ((verb, *rest),) = commands(file)
    assert verb == "train"
    at = rest.index("--preset")
    named = dict(zip(rest[::2], rest[1::2], strict=True))
    assert rest[at + 1] == "digits"
    assert set(named) == {"--preset", "--seeds", "--data.dt", "--model.hidden", "--train.epochs",
                          "--train.lr_readout"}  # fmt: skip
    again = config.resolve(
        preset="digits", seeds=int(named["--seeds"]),
        overrides={k[2:]: v for k, v in named.items() if "." in k},
    )  # fmt: skip
    assert again == runs.read_config(run)
    text = file.read_text("utf-8")
    summary = runs.read_summary(run)
    assert summary
    assert f"{100 * summary['test_accuracy']['mean']:.2f} ± " in text
    assert "Of seed 0: 270 validation samples" in text
    assert {f: f.read_bytes() for f in before} == before
    assert cli.main(["report", str(run), "--sample", "270"]) == 2
    assert "--sample: 270 is not one of the 270" in capsys.readouterr().err


def test_a_comparison_and_a_sweep_say_how_to_do_them_again(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed (extra sweep)")
    out = tmp_path / "c"
    words = ["compare", "--rules", "tp:contrast=class,readout-only:rates=1e-2", "--rates", "3e-3",
             "--seeds", "1", "--train.epochs", "2", *SMALL, "--out", str(out)]  # fmt: skip
    assert cli.main(words) == 0
    text = report.write(out, tmp_path / "c.html").read_text("utf-8")
    assert "comparison" in text
    assert "readout-only:rates=1e-2" in text
    assert "best on the test set, seed 0" in text
    ((verb, *rest),) = commands(tmp_path / "c.html")
    assert verb == "compare"
    assert rest[rest.index("--rates") + 1] == "0.003"
    assert cli.main([verb, *rest, "--table"]) == 0  # of other settings it would be refused
    out = tmp_path / "s"
    words = ["sweep", "--search", "train.lr=1e-3..1e-2:log", "model.hidden=[8],[12]", "--trials",
             "2", "--final", "2", "--train.epochs", "1", "--data.dt", "100", "--quiet", "--out",
             str(out)]  # fmt: skip
    assert cli.main(words) == 0
    text = report.write(out, tmp_path / "s.html").read_text("utf-8")
    assert "trials looked at" in text
    assert "Settings of every finished trial" not in text.split('id="library"')[1]
    (found,) = [each for each in commands(tmp_path / "s.html") if each[0] == "sweep"]
    assert cli.main([*found, "--quiet"]) == 0  # finished already


def test_a_study_of_users_says_what_each_gained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "home"))
    for place, name in ((calibrated, "after"), (table, "draw")):  # neither is looked at here
        monkeypatch.setattr(place, name, lambda *_: None)
    digits = sounds.fsdd(tmp_path / "fsdd", range(12))
    out = tmp_path / "s"
    words = ["finetune", "--preset", "fsdd", "--data.path", str(digits), "--speaker", "ann,bob",
             "--shots", "1,all", "--epochs", "1", "--alone", "--model.hidden", "[8]",
             "--train.epochs", "1", "--quiet", "--out", str(out)]  # fmt: skip
    assert cli.main(words) == 0
    (out / "tunings.json").unlink()  # as versions before left it
    text = report.write(out, tmp_path / "s.html").read_text("utf-8")
    for part in ("fine-tuning of many users", "<td>ann</td>", "Gain of each user", "Embedding"):
        assert part in text
    ((verb, *rest),) = commands(tmp_path / "s.html")
    assert rest[rest.index("--speaker") + 1] == "ann,bob"
    capsys.readouterr()
    assert cli.main([verb, *rest, "--table"]) == 0  # of other settings it would be refused
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 + 2
    assert all(line.split("\t")[4] == "2" for line in lines[1:])  # all finished already
    (out / "tunings.json").write_text('{"tunings": [3]}')
    assert cli.main(["report", str(out)]) == 2
    assert "tunings.json" in capsys.readouterr().err
    runs = [str(each) for each in sorted(out.glob("*/seed-0/pretrained"))]
    monkeypatch.chdir(tmp_path)
    assert cli.main(["finetune", *runs, "--shots", "1", "--epochs", "1", "--quiet"]) == 0
    monkeypatch.setattr(network, "sections", lambda *_: [])  # seen above
    (made,) = (tmp_path / "runs").iterdir()  # its fine-tunings lie below the runs
    file = report.write(made, tmp_path / "g.html")
    assert "<td>bob</td>" in file.read_text("utf-8")
    ((_, *rest),) = commands(file)
    assert rest[:2] == runs
    capsys.readouterr()
    assert cli.main(["finetune", *rest, "--table"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split("\t")[4] == "2"


def test_what_cannot_be_reported_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, why in ((tmp_path, "no run, comparison, sweep"), (tmp_path / "x", "no such dir")):
        assert cli.main(["report", str(path)]) == 2
        caught = capsys.readouterr().err
        assert why in caught
        assert caught.count("\n") == 1
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'synaptrace\[report\]'"):
        report.write(tmp_path, tmp_path / "r.html")
    assert not list(tmp_path.iterdir())


def test_every_preset_is_told_by_its_name_alone() -> None:
    for name in config.presets():
        found = config.resolve(preset=name)
        assert facts.differing(found) == {}, name
        assert facts.train_command(found) == f"synaptrace train --preset {name}"


def test_rasters_of_many_spikes_stay_small() -> None:
    chart = charts.raster({"input": torch.ones(100, 900)}, "x")
    assert 0 < len(chart.data[0]["x"]) <= charts.MOST
    assert "every 15th of 900" in chart.note
