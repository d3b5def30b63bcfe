"""Text is UTF-8 whatever the locale says, and what a terminal can't show never ends a command."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import synaptrace
from synaptrace import cli
from synaptrace.errors import LONGEST, one_line, short

SOURCE = Path(synaptrace.__file__).parent


def text_calls(tree: ast.AST) -> list[ast.Call]:
    """Calls that read or write text."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = []
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else None
        name = call.func.id if isinstance(call.func, ast.Name) else name
        words = [each.value for each in call.args if isinstance(each, ast.Constant)]
        text_mode = any(word in ("r", "w", "a", "x", "rt", "wt", "r+", "w+") for word in words)
        if name in ("read_text", "write_text", "loadtxt") or (name == "open" and text_mode):
            found.append(call)
    return found


def test_every_text_file_has_an_encoding() -> None:
    seen = 0
    for file in sorted(SOURCE.rglob("*.py")):
        for call in text_calls(ast.parse(file.read_text(encoding="utf-8"))):
            own = isinstance(call.func, ast.Name) and call.func.id == "read_text"  # ours, of files
            seen += 1
            names = [keyword.arg for keyword in call.keywords]
            assert own or "encoding" in names, f"{file}:{call.lineno}"
    assert seen > 10


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_help_goes_to_any_terminal(encoding: str) -> None:
    code = (
        "from synaptrace import cli\n"
        "for words in [['--help'], *([verb, '--help'] for verb in cli.VERBS)]:\n"
        "    try: cli.main(words)\n"
        "    except SystemExit as end: assert not end.code\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"usage:") == len(cli.VERBS) + 1
    assert b"\\u03b8" in done.stdout  # θ, the threshold


def test_files_are_read_as_utf_8_in_the_c_locale(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: Zürich\n", encoding="utf-8")
    code = (
        "import sys\nfrom synaptrace.config import resolve\n"
        "print(ascii(resolve(file=sys.argv[1]).name))"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], env=environment, capture_output=True
    )
    assert done.stdout.strip() == b"'Z\\xfcrich'", done.stderr


def test_values_and_lines_are_short() -> None:
    nested: list[object] = ["lol"]
    for _ in range(40):
        nested = [nested] * 10  # 10^40 entries, if one looked at all of them
    for value in (nested, 10**6000, "x" * 10**6, b"x" * 10**6, {i: i for i in range(10**5)}):
        assert len(short(value)) <= LONGEST
    assert short(10**30) == str(10**30)
    assert short([1, "a"]) == "[1, 'a']"
    assert one_line("a\nb\x1b[31m \udcff θ") == "a b\\x1b[31m \\udcff θ"
    assert len(one_line("x" * 10**6)) < 2100


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "out of memory"),
        (RecursionError("maximum recursion depth exceeded"), "the input is nested too deeply"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "out of memory ([enforce fail] DefaultCPUAllocator: can't allocate memory",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "out of memory (CUDA"),
        (PermissionError(13, "Permission denied", "a\nb\x1b[31m"), "a b\\x1b[31m: Permission"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates"), "'a\\udcff': holds"),
    ],
)
def test_the_machines_errors_are_one_line(
    error: Exception, message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fail(words: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "run", fail)
    assert cli.main([]) == 2
    caught = capsys.readouterr().err
    assert caught.startswith(f"synaptrace: {message}")
    assert caught.count("\n") == 1


def test_our_own_faults_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: list[str]) -> int:
        raise RuntimeError("shapes don't match")

    monkeypatch.setattr(cli, "run", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        cli.main([])
