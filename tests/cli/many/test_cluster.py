"""Many files on a cluster: the same, whatever dies; stores at URLs; one line for the rest."""

import csv
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import boto3
import dask
import numpy as np
import pytest
from click.testing import CliRunner
from distributed import Client, Future, LocalCluster
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from moto.server import ThreadedMotoServer
from PIL import Image
from test_cli import assert_refused, assert_usage, names

from imgcodec import cli
from imgcodec.cli.many import cluster, elsewhere, shards
from imgcodec.format import container
from imgcodec.pictures.reader import read_image

LIMIT_S = 120
PICTURES = 64
ROOT = Path(__file__).parents[3]


def paint(folder, number):
    """Small pictures in two folders, two of them of another size, and a bad one."""
    (folder / "sub").mkdir(parents=True)
    for seed in range(number):
        noise = np.random.default_rng(seed).integers(
            0, 60, (16, 16 + 8 * (seed % 49 == 9), 3), np.uint8
        )
        image = noise + np.uint8(seed) + np.arange(16, dtype=np.uint8)[:, None, None]
        Image.fromarray(image).save(folder / ("sub" if seed % 2 else "") / f"{seed:03}.png")
    (folder / "bad.png").write_bytes(b"none")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def real(tiny_weights):
    """Run the command in this process, with a small model."""

    def run(*words):
        command, *others = map(str, words)
        options = () if "--weights" in others else ("--weights", str(tiny_weights))
        return CliRunner().invoke(cli.main, [command, *others, *options])

    return run


@pytest.fixture(scope="module")
def store():
    """A server of buckets, which processes started from now on find."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    before = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    client = boto3.client("s3")
    client.create_bucket(Bucket="pictures")
    yield client
    client.close()
    server.stop()
    os.environ.clear()
    os.environ.update(before)


def start(workers):
    return LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=60
    )


@pytest.fixture(scope="module")
def two(store):
    """The address of a cluster of two worker processes, and how to ask it."""
    with start(2) as found, Client(found) as client:
        yield found.scheduler_address, client


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("many") / "album", PICTURES)


@pytest.fixture(scope="module")
def alone(real, album, tmp_path_factory):
    """What one machine makes of the album."""
    out = tmp_path_factory.mktemp("alone") / "out"
    result = real("encode", album, out, "--quality", "60", "--quiet")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"Error: 1 of {PICTURES + 1} files failed"
    return out


def is_begun(name):
    return Path(name).name.startswith(".aic-") and name.endswith(".tmp")


def assert_same(one, two, count):
    # what a killed worker had begun to write may stay, under a name that no picture has
    assert names(one) == [name for name in names(two) if not is_begun(name)]
    assert len(names(one)) == count
    for name in names(one):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def wait_for(folder, count):
    """Wait until some files are made, and return them with their inodes: each is made once."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        made = {path: path.stat().st_ino for path in folder.rglob("*.aic")}
        if len(made) >= count:
            return made
        time.sleep(0.01)
    raise TimeoutError


def test_a_worker_that_dies_costs_what_it_had_not_made(real, two, album, alone, tmp_path):
    address, client = two
    out, report = tmp_path / "out", tmp_path / "report.csv"
    done = []
    words = ("encode", album, out, "--quality", "60", "--cluster", address, "--report", report)
    thread = threading.Thread(target=lambda: done.append(real(*words)))
    thread.start()
    wait_for(out, 20)
    victim = next(iter(client.run(os.getpid).values()))
    os.kill(victim, signal.SIGKILL)
    made = wait_for(out, 20)
    thread.join(LIMIT_S)
    (result,) = done
    assert result.exit_code == 1
    told = result.stderr.splitlines()
    assert [line for line in told if "has fine detail" not in line] == [
        f"{album}: left alone: 1 of other kinds",
        f"{album / 'bad.png'}: not a picture of a known kind",
        f"Error: 1 of {PICTURES + 1} files failed",
    ]
    assert_same(alone, out, PICTURES)
    assert [path for path, inode in made.items() if path.stat().st_ino != inode] == []
    with report.open(newline="") as file:
        rows = {row["source"]: row for row in csv.DictReader(file)}
    assert len(rows) == PICTURES + 1
    assert rows.pop(str(album / "bad.png"))["error"].endswith("not a picture of a known kind")
    assert not any(row["error"] for row in rows.values())
    assert len({row["worker"] for row in rows.values()}) >= 2
    told_made = [row for row in rows.values() if row["bytes"]]
    assert len(told_made) >= PICTURES - 16  # others were made by the dead, who did not tell
    for row in told_made:
        data = Path(row["target"]).read_bytes()
        header = container.File(data).header
        assert int(row["bytes"]) == len(data)
        bpp = 8 * len(data) / (header.width * header.height)
        assert float(row["bpp"]) == pytest.approx(bpp, abs=1e-6)
        assert float(row["seconds"]) > 0

    again = real("encode", album, out, "--quality", "60", "--cluster", address)
    assert again.stdout == f"{PICTURES} files are up to date\n"
    other = real("encode", album, out, "--quality", "50", "--cluster", address)
    assert other.stderr.count("quality 60, not 50, and is kept without --force") == PICTURES


def test_a_scheduler_that_goes_leaves_whole_files(tiny_weights, real, two, album, alone, tmp_path):
    source, out, report = album / "sub", tmp_path / "out", tmp_path / "report.csv"
    words = ["encode", source, out, "--quality", "60", "--weights", tiny_weights, "--cluster"]
    with start(1) as doomed:
        process = subprocess.Popen(
            [sys.executable, "-m", "imgcodec", *map(str, words), doomed.scheduler_address,
             "--report", str(report)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(out, 4)  # in the midst of a shard
        doomed.sync(doomed.scheduler.close)
        _, told = process.communicate(timeout=LIMIT_S)
        with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
            doomed.close()  # it would look for its scheduler for 30 s
    assert process.returncode == 1
    (line,) = (line for line in told.splitlines() if "has fine detail" not in line)
    assert line.startswith("Error: cluster: the scheduler is gone")
    assert line.endswith(f"; the next --report needs another name, {report} is kept")
    assert report.is_file()
    made = names(out)
    assert 4 <= len(made) < PICTURES / 2
    for name in made:
        assert (out / name).read_bytes() == (alone / "sub" / name).read_bytes()
    result = real(*words, two[0], "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert_same(alone / "sub", out, PICTURES // 2)


@pytest.mark.parametrize(
    ("owner", "method", "error"),
    [
        (Client, "nthreads", CommClosedError("in TCP")),
        (Future, "result", CommClosedError("in TCP")),
        (Future, "result", FutureCancelledError("a-key", "scheduler-connection-lost")),
    ],
)
def test_a_scheduler_that_goes_as_a_shard_ends_is_one_line(
    real, two, album, tmp_path, monkeypatch, owner, method, error
):
    """What asks it next may know of that before the client does."""
    out, report = tmp_path / "out", tmp_path / "report.csv"
    before = getattr(owner, method)

    def ask(*words):
        if any(out.rglob("*.aic")):
            raise error
        return before(*words)

    monkeypatch.setattr(owner, method, ask)
    words = ("--quality", "60", "--cluster", two[0], "--report", report)
    result = real("encode", album / "sub", out, *words)
    assert result.exit_code == 1
    (line,) = (line for line in result.stderr.splitlines() if "has fine detail" not in line)
    assert line.startswith("Error: cluster: the scheduler is gone")
    assert line.endswith(f"; the next --report needs another name, {report} is kept")
    assert report.is_file()
    assert logging.root.manager.disable == logging.CRITICAL  # dask would go on about it
    logging.disable(logging.NOTSET)


def test_pictures_of_a_store(real, two, store, tmp_path):
    """A dozen of them and a bad one, in and out."""
    album = paint(tmp_path / "album", 12)
    for name in names(album):
        store.upload_file(str(album / name), "pictures", f"in/{name}")
    real("encode", album, tmp_path / "alone", "--quality", "60", "--quiet")
    where = ("s3://pictures/in", "s3://pictures/out", "--quality", "60", "--cluster", two[0])
    result = real("encode", *where)
    assert result.exit_code == 1
    told = [line for line in result.stderr.splitlines() if "has fine detail" not in line]
    assert told == [
        "s3://pictures/in: left alone: 1 of other kinds",
        "s3://pictures/in/bad.png: not a picture of a known kind",
        "Error: 1 of 13 files failed",
    ]
    assert "s3://pictures/out/sub/001.aic: " in result.stdout
    assert str(tmp_path) not in result.output
    found = {
        item["Key"]: item["LastModified"]
        for item in store.list_objects_v2(Bucket="pictures", Prefix="out/")["Contents"]
    }
    assert sorted(found) == [f"out/{name}" for name in names(tmp_path / "alone")]
    for name in names(tmp_path / "alone"):
        body = store.get_object(Bucket="pictures", Key=f"out/{name}")["Body"].read()
        assert body == (tmp_path / "alone" / name).read_bytes()

    assert real("encode", *where).stdout == "12 files are up to date\n"
    back = tmp_path / "back"
    words = ("s3://pictures/out/**/*.aic", back, "--cluster", two[0], "--format", "ppm")
    result = real("decode", *words)
    assert (result.exit_code, result.stderr) == (0, "")
    assert real("decode", tmp_path / "alone", tmp_path / "b", "--format", "ppm").exit_code == 0
    assert names(back) == names(tmp_path / "b")
    for name in names(back):
        assert np.array_equal(read_image(back / name), read_image(tmp_path / "b" / name))
    gone = real("encode", "s3://nowhere/in", "s3://pictures/out", "--cluster", two[0])
    assert_refused(gone, "s3://nowhere/in: ")


def test_a_file_of_which_workers_die_costs_no_other(store, tmp_path, monkeypatch):
    """As where one needs more memory than there is."""
    pairs = [(str(tmp_path / f"{n}"), str(tmp_path / f"{n}.aic")) for n in range(6)]

    def shard(settings, pairs, force, topic, sides):
        if any(source.endswith("3") for source, _ in pairs):
            time.sleep(0.2)  # the others are here by now
            os.kill(os.getpid(), signal.SIGKILL)
        return [shards.Row(*pair, "w", line="made") for pair in pairs]

    class Work:
        threads = None

    monkeypatch.setattr(elsewhere, "packed", lambda work: b"")
    monkeypatch.setattr(shards, "shard", by_value(shard))
    monkeypatch.setattr(cluster, "SHARDS_EACH", 1)
    with start(1) as one, Client(one) as client:
        # All wait at one worker, and dask counts its deaths for those that wait, too.
        one.scheduler.WORKER_SATURATION = math.inf
        one.scheduler.allowed_failures = 0  # since starts are slow
        found = list(cluster.run(client, Work(), pairs, False, {}))
    killed = [row for row in found if row.error]
    assert sorted(row.target for row in found) == sorted(target for _, target in pairs)
    assert [row.source for row in killed] == [pairs[3][0]]
    assert "workers die of it: " in killed[0].error


def test_workers_without_a_temporary_folder_are_told_for_each_file(real, two, album, tmp_path):
    address, client = two

    def lose(dask_worker):
        dask_worker.local_directory, dask_worker.before = "/none", dask_worker.local_directory

    def find(dask_worker):
        dask_worker.local_directory = dask_worker.before

    out, report = tmp_path / "out", tmp_path / "report.csv"
    client.run(by_value(lose))
    try:
        result = real("encode", album / "sub", out, "--cluster", address, "--report", report)
    finally:
        client.run(by_value(find))
    assert result.exit_code == 1
    *lines, last = result.stderr.splitlines()
    assert len(lines) == PICTURES // 2
    assert lines[0].endswith(".png: no temporary folder: no such file or directory")
    assert last == f"Error: {PICTURES // 2} of {PICTURES // 2} files failed"
    assert report.read_text().count("no temporary folder") == PICTURES // 2


def by_value(function):
    """Let dask send a function of this test, which workers do not find."""
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return function


# ---- what is refused


def test_no_scheduler_is_one_line(real, album, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    result = real("encode", album, tmp_path / "out", "--cluster", "tcp://127.0.0.1:9", "--quiet")
    assert_refused(result, "cluster tcp://127.0.0.1:9: ")
    result = real("encode", album, tmp_path / "out", "--cluster", "nonsense", "--quiet")
    assert_refused(result, "cluster nonsense: ")


def test_a_cluster_that_is_left_as_it_starts_says_no_more(real, album, tmp_path, monkeypatch):
    def interrupt(**_):
        raise KeyboardInterrupt

    left = []
    monkeypatch.setattr("distributed.LocalCluster", interrupt)
    monkeypatch.setattr("atexit.unregister", left.append)
    result = real("encode", album, tmp_path / "out", "--cluster", "local", "--quiet")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")
    assert [callback.__name__ for callback in left] == ["close_clusters"]
    assert logging.root.manager.disable == logging.CRITICAL
    logging.disable(logging.NOTSET)


@pytest.mark.skipif(os.name != "posix", reason="not on Windows")
def test_workers_of_its_own_leave_signals_to_the_command():
    with cluster.connected(cluster.LOCAL, 2) as client:
        found = client.run(by_value(lambda: signal.getsignal(signal.SIGINT)))
    assert list(found.values()) == [signal.SIG_IGN] * 2


def test_no_workers_is_one_line(real, album, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "WORKERS_S", 1)
    with start(0) as empty:
        words = ("--cluster", empty.scheduler_address, "--quiet")
        assert_refused(
            real("encode", album, tmp_path / "out", *words), "no worker came within 1 s"
        )


def test_another_aic_is_one_line(real, two, album, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "__version__", "9.9")
    result = real("encode", album, tmp_path / "out", "--cluster", two[0], "--quiet")
    assert_refused(result, r"tcp://\S+ has aic [\d.]+, not 9.9")


@pytest.mark.parametrize("module", ["distributed", "fsspec.core"])
def test_a_missing_extra_is_one_line(real, two, album, tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    source = album if module == "distributed" else "s3://pictures/in"
    words = ("encode", source, tmp_path / "out", "--cluster", two[0], "--quiet")
    assert_refused(real(*words), r"pip install 'imgcodec\[cluster\]'")


def test_words_that_do_not_go_together(real, album, tmp_path):
    out = tmp_path / "out"
    assert_usage(real("encode", album, out, "--report", tmp_path / "r.csv"), "is for --cluster")
    assert_usage(real("encode", "-", out, "--cluster", "local"), "no pipes")
    assert_usage(real("encode", album, out, "--cluster", "local", "--dry-run"), "no --dry-run")
    for words in (("s3://a/b", out), (album, "s3://a/b")):
        assert_refused(real("encode", *words), "s3://a/b: URLs need --cluster")
    (tmp_path / "r.csv").touch()
    words = ("--report", tmp_path / "r.csv", "--cluster", "local", "--quiet")
    assert_refused(real("encode", album, out, *words), "kept without --force")
    assert not out.exists()
