"""A bounded fuzz of everything that reads what a user made: files, settings, runs, archives.

    cases.py     the table: which input is read by which reader and broken in which ways
    targets.py   small valid inputs in the exact formats, and their readers
    run_targets.py  the same of what synaptrace itself wrote: runs, comparisons, caches
    mutators.py  how bytes and texts are broken
    formats.py   how one format's own fields are broken
    attempt.py   one case: break, read, say what came of it
    runner.py    child processes under limits of memory and time
    broken.py    readers broken on purpose, to see that the runner notices
    known.py     single bad inputs, and what each must be answered
    known_files.py  more of them, and odd inputs that must be read

Run it by hand from tests/, all or one target or one case, as a failure's line says:

    python -m fuzz.runner [--scale 3] [--target NAME] [--known] [--case TARGET:MUTATOR:SEED]
"""
