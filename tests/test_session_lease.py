"""One job at a time works on a session: who has it, when it counts as gone, and taking it over."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import silverprint as sp
from silverprint._core.runtime import CancelToken
from silverprint.classifier.resuming import program_of
from silverprint.cli.main import main
from silverprint.training.store import holder
from silverprint.training.store.documents import Documents, Key
from silverprint.training.store.store import DATABASE, encoded
from support.guests import HEARING
from support.workshop import Workshop, workshop

EXTRACTING, TRAINING = sp.Phase.EXTRACTING_FEATURES, sp.Phase.TRAINING

TRAINER = """
import sys
from pathlib import Path
import silverprint as sp
from support.sessions import save_always
from support.workshop import Workshop

def tell(event):
    if event.kind == "checkpoint":
        print("saved", flush=True)
        sys.stdin.readline()  # until the test lets it go on

save_always()
job = sp.ImageClassifier.resume(Workshop(Path(sys.argv[1])).restore())
job.add_callback(tell)
try:
    job.result()
    print("finished")
except sp.SessionInUseError as error:
    print(error)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("SILVERPRINT_CACHE", "off")
    return workshop(tmp_path, monkeypatch)


@contextmanager
def trainer(shop: Workshop) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of the training, waiting for a line."""
    path = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-c", HEARING + TRAINER, str(shop.folder)],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "saved\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def last_line(process: subprocess.Popen[str]) -> str:
    """What a trainer says at its end, once it is let go on."""
    return process.communicate(timeout=60)[0].splitlines()[-1]


class TestAnotherProcess:
    def test_that_trains_is_named(self, shop: Workshop) -> None:
        session = shop.make()
        with trainer(shop) as process:
            first = session.checkpoints[-1].iteration
            for attempt in (
                shop.make,
                lambda: sp.ImageClassifier.resume(shop.restore()),
                lambda: session.remove_checkpoints(lambda one: True),
            ):
                with pytest.raises(sp.SessionInUseError) as caught:
                    attempt()
                message = str(caught.value)
                assert message.startswith(f"{shop.session_folder}: in use by process {process.pid}")
                assert f"user {getpass.getuser()}) on this machine, last seen 20" in message
                assert "wait for it or stop it" in message
                assert "take_over=True, --take-over" in message
            # Looking is allowed.
            assert (session.phase, session.iteration) == (TRAINING, first)
            assert f"in use by process {process.pid}" in session.summary()
            assert sp.ImageClassifier(checkpoint=session.checkpoints[-1]).labels
            assert last_line(process) == "finished"
        assert shop.restore().runs[-1].is_finished

    @pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
    def test_that_was_killed_is_not_waited_for(self, shop: Workshop) -> None:
        golden = shop.uninterrupted()
        shop.make()
        with trainer(shop) as process:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=60)
            assert shop.resumed(shop.make()) == (golden, 0)

    @pytest.mark.parametrize("let_it_go_on", ["before the other finishes", "afterwards"])
    def test_can_be_taken_over_and_harms_nothing(self, shop: Workshop, let_it_go_on: str) -> None:
        golden = shop.uninterrupted()
        shop.make()
        with trainer(shop) as process:
            session = shop.restore(take_over=True)
            if let_it_go_on == "afterwards":
                assert shop.resumed(session) == (golden, 0)
                assert "in use by another job, which has ended since" in last_line(process)
            else:
                program = program_of(session)
                program.advance(CancelToken())
                program.save()
                assert f"in use by process {os.getpid()}" in last_line(process)
                program.save()
                program.close()
        assert shop.resumed(shop.restore()) == (golden, 0)
        for checkpoint in shop.restore().checkpoints[1:]:
            assert sp.ImageClassifier(checkpoint=checkpoint).labels


class TestTwoJobsOfOneProcess:
    def test_the_second_is_refused(self, shop: Workshop) -> None:
        session = shop.make()
        program = program_of(session)
        with pytest.raises(sp.SessionInUseError, match=f"in use by process {os.getpid()} "):
            sp.ImageClassifier.resume(session)
        program.close()
        assert sp.ImageClassifier.resume(session).result().labels

    @pytest.mark.parametrize("phase", [EXTRACTING, TRAINING])
    def test_or_takes_it_over(
        self, shop: Workshop, phase: sp.Phase, caplog: pytest.LogCaptureFixture
    ) -> None:
        golden = shop.uninterrupted()
        shop.unfinished(phase, 2)
        token = CancelToken()
        first = program_of(shop.restore())
        second = program_of(shop.restore(take_over=True))
        for program, units in ((first, 6), (second, 5)):
            while program.phase is not phase:
                program.advance(token)
            for _ in range(units):
                program.advance(token)
        second.save()
        with pytest.raises(sp.SessionInUseError, match=f"in use by process {os.getpid()} "):
            first.save()
        first.close()
        second.close()
        # What the second has saved is whole.
        caplog.clear()
        session = shop.restore()
        result, decoded = shop.resumed(session)
        assert (result, decoded) == (golden, 10 if phase is EXTRACTING else 0)
        assert "damaged" not in caplog.text
        for checkpoint in session.checkpoints[1:]:
            assert sp.ImageClassifier(checkpoint=checkpoint).labels

    def test_one_at_a_time_is_one_after_the_other(self, shop: Workshop) -> None:
        session = shop.make()
        for _ in range(3):
            assert sp.ImageClassifier.resume(session).result().labels
        assert session.store.holder is None


class TestWhenAHolderCountsAsGone:
    @pytest.fixture
    def leave(self, shop: Workshop) -> Callable[..., None]:
        """Leave a lease, as of this process but for the fields given."""
        shop.make()

        def put(**fields: object) -> None:
            lease = holder.Holder.of_this_process().to_json() | fields
            with Documents(shop.session_folder / DATABASE).transaction() as documents:
                documents.put(Key(0, "lease"), encoded(lease))

        return put

    def test_after_a_reboot(self, shop: Workshop, leave: Callable[..., None]) -> None:
        leave(machine="m", host="h")
        here = holder.Holder.of_this_process()
        if not here.boot:
            pytest.skip("this system has no name for a boot")
        leave(boot="the one before", renewed=time.time())
        assert shop.restore().store.holder is None
        assert shop.finish().labels

    def test_where_its_number_is_another_process_now(
        self, shop: Workshop, leave: Callable[..., None]
    ) -> None:
        leave(pid=os.getppid(), started="1")
        assert shop.restore().store.holder is None

    @pytest.mark.parametrize(
        "elsewhere",
        [
            {"host": "cluster-node-7", "machine": "other", "boot": "other"},
            {"processes": "pid:[1]"},  # a container on this machine
        ],
    )
    def test_on_another_host_when_its_lease_has_run_out(
        self, shop: Workshop, leave: Callable[..., None], elsewhere: dict[str, str]
    ) -> None:
        leave(**elsewhere, pid=4711, renewed=time.time())
        where = f"host {elsewhere['host']}" if "host" in elsewhere else "this machine"
        with pytest.raises(sp.SessionInUseError, match=rf"process 4711 \(.*\) on {where}, last"):
            shop.make()
        leave(**elsewhere, pid=4711, renewed=time.time() - holder.EXPIRY - 1)
        assert shop.restore().store.holder is None
        assert shop.finish().labels

    def test_a_holder_that_lives_can_be_taken_from(
        self, shop: Workshop, leave: Callable[..., None]
    ) -> None:
        leave(host="cluster-node-7", machine="other", boot="other", renewed=time.time())
        assert shop.finish(take_over=True).labels


class TestShow:
    def show(self, capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
        assert main(["session", "show", str(folder), *arguments]) == 0
        return capsys.readouterr().out

    def test_while_another_process_trains(
        self, shop: Workshop, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shop.make()
        with trainer(shop) as process:
            out = self.show(capsys, shop.session_folder)
            assert "run 1 of 20" in out
            assert "unfinished, training" in out
            assert f"in use by process {process.pid}" in out
            assert ": training" in out

    @pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
    def test_a_copy_that_cannot_be_written(self, shop: Workshop) -> None:
        shop.unfinished(TRAINING, 3)
        copy = shutil.copytree(shop.session_folder, shop.folder / "copy")
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o500 if path.is_dir() else 0o400)
        command = [sys.executable, "-c", "from silverprint.cli.main import main; main()"]
        if os.getuid() == 0:  # modes mean nothing to it unless it gives that up
            if shutil.which("setpriv") is None:
                pytest.skip("root can write everywhere")
            command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
        path = os.pathsep.join(path for path in sys.path if path)
        done = subprocess.run(
            [*command, "session", "show", str(copy)],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert "unfinished, training" in done.stdout, done.stderr
        assert not os.access(copy, os.W_OK) or os.getuid() == 0
