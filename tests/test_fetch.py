"""Fetching: from a server that breaks off, lies or isn't there, and from files at hand."""

import hashlib
import io
import json
import shutil
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import recordings
from synaptrace.data import fetch as fetching
from synaptrace.data.fetch import fetch
from synaptrace.data.sets import nmnist
from synaptrace.data.source import Download, Source
from synaptrace.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return tmp_path / "home"


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def tarred(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return content.getvalue()


ARCHIVE = zipped({"Train/0/a.bin": "a", "Train/1/b.bin": "b"})
SECOND = tarred({"Test/0/c.bin": "c"})


@pytest.fixture
def server():
    """Serves ARCHIVE as /train.zip; breaks off in the middle while ``broken`` is above zero."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            self.server.asked.append(self.path)
            content = self.answer()
            if self.server.broken > 0:
                self.server.broken -= 1
                content = content[: len(content) // 2]
            self.wfile.write(content)

        def answer(self):
            content = {"/train.zip": ARCHIVE, "/test.tar.gz": SECOND}.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            return content or b""

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.broken, server.asked = 0, []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def source(port=1, checksums=True):
    where = f"http://127.0.0.1:{port}"
    sums = [f"md5:{hashlib.md5(content).hexdigest()}" for content in (ARCHIVE, SECOND)]
    return Source(
        name="toy",
        title="a toy",
        licence="CC0-1.0",
        page="",
        layout=("Train/<label>/<id>.bin", "Test/<label>/<id>.bin"),
        downloads=(
            Download(f"{where}/train.zip", checksum=sums[0] if checksums else None, unpack="."),
            Download(f"{where}/test.tar.gz", checksum=sums[1] if checksums else None, unpack="."),
        ),
    )


def tree(folder):
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


WHOLE = ["Test/0/c.bin", "Train/0/a.bin", "Train/1/b.bin", "fetched.json"]


def test_files_are_downloaded_verified_and_unpacked(home, server):
    said = []
    assert fetch(source(server.server_port), say=said.append) == home / "toy"
    assert tree(home / "toy") == WHOLE
    line = next(line for line in said if line.startswith("train.zip")).split("\t")
    checksum = f"md5:{hashlib.md5(ARCHIVE).hexdigest()}"
    where = f"http://127.0.0.1:{server.server_port}/train.zip"
    assert line == ["train.zip", "CC0-1.0", str(len(ARCHIVE)), checksum, where]


def test_what_is_there_is_not_fetched_again(home, server):
    fetch(source(server.server_port))
    server.asked.clear()
    fetch(source(server.server_port))
    assert server.asked == []


def test_what_is_gone_is_fetched_again(home, server):
    fetch(source(server.server_port))
    shutil.rmtree(home / "toy" / "Train")
    shutil.rmtree(home / "toy" / "Test")
    fetch(source(server.server_port))
    assert tree(home / "toy") == WHOLE


def test_a_broken_download_is_tried_again(home, server):
    server.broken = 2
    fetch(source(server.server_port))
    assert tree(home / "toy") == WHOLE
    assert len(server.asked) == 4


def test_a_download_that_stays_broken_leaves_nothing(home, server):
    server.broken = 100
    with pytest.raises(UserError, match=r"train\.zip: can't be downloaded"):
        fetch(source(server.server_port))
    assert tree(home / "toy") == []
    server.broken = 0
    fetch(source(server.server_port))
    assert tree(home / "toy") == WHOLE


def test_another_file_than_the_published_is_refused(home, server, monkeypatch):
    wrong = source(server.server_port)
    monkeypatch.setitem(globals(), "ARCHIVE", zipped({"Train/0/a.bin": "changed"}))
    with pytest.raises(UserError, match="isn't the published file, md5:"):
        fetch(wrong)
    assert tree(home / "toy") == []


def test_a_checksum_that_is_unknown_is_written_down(home, server):
    fetch(source(server.server_port, checksums=False))
    stamp = json.loads((home / "toy" / "fetched.json").read_text())
    assert stamp["train.zip"] == f"sha256:{hashlib.sha256(ARCHIVE).hexdigest()}"


def test_without_network_it_says_which_file_to_put_where(home):
    with pytest.raises(UserError) as caught:
        fetch(source(port=1))
    line = str(caught.value)
    assert "http://127.0.0.1:1/train.zip: can't be downloaded" in line
    assert "`synaptrace data fetch toy --from train.zip`" in line
    assert str(home / "toy" / "Train/<label>/<id>.bin") in line
    assert "\n" not in line


def test_a_missing_page_is_an_error(server):
    gone = Source(
        "toy", "", "", "", ("x",), (Download(f"http://127.0.0.1:{server.server_port}/x"),)
    )
    with pytest.raises(UserError, match="can't be downloaded"):
        fetch(gone)


def test_published_archives_at_hand(home, tmp_path):
    (tmp_path / "train.zip").write_bytes(ARCHIVE)
    (tmp_path / "test.tar.gz").write_bytes(SECOND)
    said = []
    fetch(source(), local=tmp_path / "train.zip", say=said.append)
    assert any("checksum verified" in line for line in said)
    assert tree(home / "toy") == ["Train/0/a.bin", "Train/1/b.bin", "fetched.json"]
    fetch(source(), local=tmp_path)  # a folder with both
    assert tree(home / "toy") == WHOLE


def test_a_changed_archive_at_hand_is_refused(home, tmp_path):
    (tmp_path / "train.zip").write_bytes(zipped({"Train/0/a.bin": "changed"}))
    with pytest.raises(UserError, match=r"train\.zip: its md5 is .* not .* as published"):
        fetch(source(), local=tmp_path / "train.zip")
    assert not (home / "toy").exists()


@pytest.mark.parametrize("inside", ["", "mine/"])
def test_an_archive_of_ones_own(home, tmp_path, inside):
    (tmp_path / "mine.zip").write_bytes(zipped({f"{inside}Train/0/z.bin": "z"}))
    fetch(source(), local=tmp_path / "mine.zip")
    assert tree(home / "toy") == [f"{inside}Train/0/z.bin"]


def test_a_folder_at_hand(home, tmp_path):
    recordings.nmnist(tmp_path / "mine", train=2)
    fetch(nmnist.SOURCE, local=tmp_path / "mine")
    assert len(tree(home / "nmnist")) == 20
    assert len(tree(tmp_path / "mine")) == 20
    assert len(nmnist.prepare()) == 20


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (tarred({"Train/0/a.bin": "a" * 5000})[:-30], "is damaged"),
        (zipped({"elsewhere": ""}), "holds no toy, which lies in Train/"),
        (b"text", "holds no toy"),
    ],
    ids=["cut off", "of something else", "none"],
)
def test_bad_archives_are_named(home, tmp_path, content, match):
    (tmp_path / "mine.archive").write_bytes(content)
    with pytest.raises(UserError, match=match) as caught:
        fetch(source(), local=tmp_path / "mine.archive")
    assert str(tmp_path / "mine.archive") in str(caught.value)
    assert tree(home / "toy") == []


def test_half_an_archive_is_named(home, tmp_path):
    for name, content in (("mine.zip", ARCHIVE), ("mine.tar.gz", SECOND), ("mine.gz", SECOND)):
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError, match=rf"{name}: the archive is damaged"):
            fetch(source(), local=tmp_path / name)


def test_archives_cannot_write_outside(home, tmp_path):
    (tmp_path / "evil.tar.gz").write_bytes(tarred({"../../evil.bin": "x", "Train/0/a.bin": "a"}))
    with pytest.raises(UserError, match=r"'\.\./\.\./evil\.bin' is no name below a folder"):
        fetch(source(), local=tmp_path / "evil.tar.gz")
    assert list(tmp_path.rglob("evil.bin")) == []


def test_what_is_missing_or_cannot_be_fetched(home, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        fetch(source(), local=tmp_path / "nowhere")
    with pytest.raises(UserError, match="nothing to fetch"):
        fetch(Source("digits", "", "", ""))
    with pytest.raises(UserError, match="ask them for it; then `synaptrace data fetch x --from"):
        fetch(Source("x", "", "", "", ("a.bin",), manual="ask them for it"))


def test_new_files_join_those_that_are_there(home, tmp_path):
    (home / "toy/Train/0").mkdir(parents=True)
    (home / "toy/Train/0/old.bin").write_text("old")
    (home / "toy/Train/0/a.bin").write_text("old")
    (tmp_path / "train.zip").write_bytes(ARCHIVE)
    fetch(source(), local=tmp_path / "train.zip")
    assert (home / "toy/Train/0/old.bin").exists()
    assert (home / "toy/Train/0/a.bin").read_text() == "a"
    assert fetching._stamp(source())["train.zip"].startswith("md5:")


def test_a_clash_moves_nothing(home, tmp_path):
    (home / "toy/Train/0/a.bin").mkdir(parents=True)
    (home / "toy/Train/0/0.bin").write_text("old")
    packed = {"Train/0/0.bin": "new", "Train/0/a.bin": "a", "Train/1/b.bin": "b"}
    (tmp_path / "mine.zip").write_bytes(zipped(packed))
    with pytest.raises(UserError, match=r"a\.bin: a folder is where a file is to be"):
        fetch(source(), local=tmp_path / "mine.zip")
    assert tree(home / "toy") == ["Train/0/0.bin"]
    assert (home / "toy/Train/0/0.bin").read_text() == "old"


def test_a_move_that_fails_is_undone(home, tmp_path, monkeypatch):
    (home / "toy/Train/0").mkdir(parents=True)
    (home / "toy/Train/0/a.bin").write_text("old")
    (tmp_path / "train.zip").write_bytes(ARCHIVE)
    move = fetching.os.replace

    def fail(here, there):
        if str(there).endswith("toy/Train/1"):
            raise OSError(28, "No space left on device")
        move(here, there)

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(UserError, match="No space left"):
        fetch(source(), local=tmp_path / "train.zip")
    assert tree(home / "toy") == ["Train/0/a.bin"]
    assert (home / "toy/Train/0/a.bin").read_text() == "old"


@pytest.mark.parametrize("where", ["toy", "toy/mine", "."])
def test_a_folder_is_not_copied_into_itself(home, where):
    (home / "toy/mine/Train/0").mkdir(parents=True)
    (home / "toy/mine/Train/0/a.bin").write_text("a")
    with pytest.raises(UserError, match="can't be copied into itself"):
        fetch(source(), local=home / where)
    assert tree(home) == ["toy/mine/Train/0/a.bin"]


def test_an_archive_without_a_checksum_is_counted(home, tmp_path):
    counted = Source(
        "toy", "", "", "", ("Train/<label>/<id>.bin",),
        (Download("http://127.0.0.1:1/train.zip", unpack=".", holds=2),),
    )  # fmt: skip
    (tmp_path / "train.zip").write_bytes(zipped({"Train/0/a.bin": "", "Train/0/._b.bin": ""}))
    with pytest.raises(UserError, match=r"train\.zip: it holds 1 of 2 files"):
        fetch(counted, local=tmp_path / "train.zip")
    assert tree(home / "toy") == []
    (tmp_path / "train.zip").write_bytes(ARCHIVE)
    fetch(counted, local=tmp_path / "train.zip")
    assert tree(home / "toy") == ["Train/0/a.bin", "Train/1/b.bin", "fetched.json"]
