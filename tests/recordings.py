"""Format-exact miniatures of recordings, written from the formats' public descriptions.

N-MNIST's 5 bytes: Orchard et al. 2015, with its readme. AEDAT 2.0 and 3.1: iniVation's "AEDAT file
formats". SHD: the description that comes with the data. DVS128 Gesture: its readme.
"""

import struct

import numpy as np


def events(seed=0, count=200, sensor=(34, 34), until=300_000):
    """t (sorted, µs), x, y, p of random events."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(until, size=count))
    return (
        t,
        rng.integers(sensor[1], size=count),
        rng.integers(sensor[0], size=count),
        (rng.integers(2, size=count)),
    )


def bin5(path, t, x, y, p):
    """5 bytes an event: column, row, polarity and 23 bits of time, big-endian."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = bytearray()
    for each in zip(t, x, y, p, strict=True):
        t1, x1, y1, p1 = map(int, each)
        content += bytes([x1, y1, p1 << 7 | t1 >> 16, t1 >> 8 & 255, t1 & 255])
    path.write_bytes(content)
    return path


def aedat2(path, t, x, y, p, header=b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n"):
    """Big-endian pairs of address and time; as DVS-CIFAR10 stands upright."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = bytearray(header)
    for each in zip(t, x, y, p, strict=True):
        t1, x1, y1, p1 = map(int, each)
        content += struct.pack(">II", (127 - x1) << 8 | (127 - y1) << 1 | (1 - p1), t1)
    path.write_bytes(content)
    return path


HEADER3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def packet(t, x, y, p, valid=None, kind=1, overflow=0):
    """One AEDAT 3.1 packet of polarity events, or of another kind."""
    valid = np.ones(len(t), dtype=int) if valid is None else valid
    body = b"".join(
        struct.pack("<Ii", int(x1) << 17 | int(y1) << 2 | int(p1) << 1 | int(v1), int(t1))
        for t1, x1, y1, p1, v1 in zip(t, x, y, p, valid, strict=True)
    )
    count = len(t)
    return struct.pack("<hhiiiiii", kind, 1, 8, 4, overflow, count, count, int(sum(valid))) + body


def aedat3(path, t, x, y, p, size=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    chunks = [slice(i, i + size) for i in range(0, len(t), size)]
    path.write_bytes(HEADER3 + b"".join(packet(t[c], x[c], y[c], p[c]) for c in chunks))
    return path


def nmnist(root, train=10, test=0, seed=0):
    """Recordings of every digit, ``train`` and ``test`` of each; the digit shows in its column."""
    for split, count in (("Train", train), ("Test", test)):
        for number in range(10 * count):
            label = number % 10
            t, x, y, p = events(seed + number + (7919 if split == "Test" else 0))
            x = (3 * label + x % 4).clip(max=33)
            bin5(root / split / str(label) / f"{number + 1:05d}.bin", t, x, y, p)
    return root


def heidelberg(path, samples=40, classes=20, speakers=4, seed=0, sort=True):
    """An HDF5 file of spikes as SHD's and SSC's."""
    import h5py

    rng = np.random.default_rng(seed)
    counts = rng.integers(20, 60, size=samples)
    times = [rng.uniform(0, rng.uniform(0.3, 1.1), size=n).astype(np.float16) for n in counts]
    times = [np.sort(each) if sort else each for each in times]
    units = [rng.integers(700, size=n).astype(np.uint16) for n in counts]
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        spikes = file.create_group("spikes")
        for name, values, dtype in (("times", times, np.float16), ("units", units, np.uint16)):
            data = spikes.create_dataset(name, (samples,), dtype=h5py.vlen_dtype(dtype))
            for i, value in enumerate(values):
                data[i] = value
        file["labels"] = (np.arange(samples) % classes).astype(np.uint16)
        extra = file.create_group("extra")
        extra["speaker"] = (np.arange(samples) // classes % speakers).astype(np.uint16)
        extra["keys"] = np.array([f"word{i}".encode() for i in range(classes)])
    return times, units


def gestures(root, subjects=4, test=2, seed=0, seconds=3.3):
    """Trials in the official form: AEDAT 3.1, times of the gestures beside, lists of trials."""
    folder = root / "DvsGesture"
    lists = {"train": [], "test": []}
    for subject in range(1, subjects + test + 1):
        name = f"user{subject:02d}_led"
        rows, parts, start = [], [], 1_000_000
        for label in range(1, 12):
            end = start + int(1e6 * seconds)
            t, x, y, p = events(seed + 100 * subject + label, 300, (128, 128), end - start)
            parts.append((t + start, x, y, p))
            rows.append(f"{label},{start},{end}")
            start = end + 500_000
        aedat3(folder / f"{name}.aedat", *(np.concatenate(c) for c in zip(*parts, strict=True)))
        table = "class,startTime_usec,endTime_usec\n" + "\n".join(rows) + "\n"
        (folder / f"{name}_labels.csv").write_text(table)
        lists["train" if subject <= subjects else "test"].append(f"{name}.aedat")
    for split, names in lists.items():
        (folder / f"trials_to_{split}.txt").write_text("\n".join(names) + "\n")
    return root


def separate_gestures(root, subjects=3, test=1, seed=0):
    """Gestures in NumPy files of their own: rows of x, y, p, milliseconds."""
    for subject in range(subjects + test):
        split = "Train" if subject < subjects else "Test"
        for label in range(11):
            t, x, y, p = events(seed + 100 * subject + label, 300, (128, 128), 3300)
            path = root / f"ibmGesture{split}" / f"user{subject + 1:02d}_led" / f"{label}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.stack([x, y, p, t], 1).astype(np.float64))
    return root


def cifar10(root, numbers, classes, seed=0):
    """Recordings of the given numbers of every class."""
    for label, name in enumerate(classes):
        for number in numbers:
            each = events(seed + 1000 * label + number, 300, (128, 128), 1_300_000)
            aedat2(root / name / f"cifar10_{name}_{number}.aedat", *each)
    return root
