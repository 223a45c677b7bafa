"""What every program shares: how it connects, what it reports, and how it is told to finish.

A program puts load on the ensemble until the line `finish` arrives on its standard input, then
checks what must hold and ends. It prints one JSON object a line:

    {"event": "ready"}                      the load begins
    {"event": "progress", "count": 17}      so many operations were acknowledged in all
    {"event": "violation", "what": "..."}   a promise was broken; the program ends with code 1
    {"event": "proved", "name": "...", "promise": "...", "ms": 17}
                                            one check of several that stand for themselves held
    {"event": "verdict", ...}               everything held; what was counted

Meanwhile the test that started it kills and restarts members.
"""

import argparse
import json
import logging
import os
import sys
import threading
import time
import traceback

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import BadVersionError, ConnectionLoss, OperationTimeoutError
from kazoo.retry import KazooRetry

# After these nobody knows whether the request took effect.
UNKNOWN = (ConnectionLoss, OperationTimeoutError)

# Long enough that no session may expire while a leader is replaced, on a busy machine too.
SESSION_TIMEOUT_S = 20.0
# For everything that must happen; far above what it takes.
PATIENCE_S = 60.0
# A program that hangs ends by itself, and says so.
LIFETIME_S = 240.0
EXIT_VIOLATION = 1
EXIT_HANGS = 3


class Program:
    def __init__(self, *arguments):
        parser = argparse.ArgumentParser()
        for name in ("--hosts", "--root", *arguments):
            parser.add_argument(name, required=True)
        self.arguments = parser.parse_args()
        self.root = self.arguments.root
        self.hosts = self.arguments.hosts.split(",")
        self._finish = threading.Event()
        self._output = threading.Lock()
        self._count_lock = threading.Lock()
        self._count = 0
        self._clients = []
        self.suspensions = 0
        # The clients' own log goes to standard error, which the test prints when it fails.
        logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s")
        for target in (self._read_commands, self._report, self._watchdog):
            threading.Thread(target=target, daemon=True).start()

    # What it says.

    def say(self, event, **fields):
        with self._output:
            print(json.dumps({"event": event, **fields}), flush=True)

    def violation(self, what):
        self.say("violation", what=what)
        sys.stderr.flush()
        os._exit(EXIT_VIOLATION)

    def require(self, holds, what):
        if not holds:
            self.violation(what)

    def acknowledged(self, count=1):
        with self._count_lock:
            self._count += count

    def verdict(self, **fields):
        self.say("verdict", suspensions=self.suspensions, **fields)
        for client in self._clients:
            client.stop()
            client.close()

    def prove(self, name, promise, check):
        """One check that stands for itself. If the environment names checks, the others are left out."""
        only = os.environ.get("VIVARIUM_ONLY")
        if only is not None and name not in only.split(","):
            return
        self.say("begins", name=name)
        started = time.monotonic()
        try:
            check(f"{self.root}/{name}")
        except BaseException:
            traceback.print_exc()
            self.violation(f"{name} failed: {traceback.format_exc(limit=-3)}")
        self.say("proved", name=name, promise=promise, ms=int(1000 * (time.monotonic() - started)))
        self.acknowledged()

    def proved(self):
        """The verdict of a program whose checks stand for themselves."""
        self.require(self._count > 0, f"no check has the name {os.environ.get('VIVARIUM_ONLY')}")
        self.verdict(proved=self._count)

    def refused(self, kind, what, call, *arguments, **options):
        """The call must end in the given way."""
        try:
            call(*arguments, **options)
        except kind:
            return
        except Exception as other:
            self.violation(f"{what}: expected {kind.__name__}, not {other!r}")
        self.violation(f"{what}: expected {kind.__name__}, but it was done")

    def eventually(self, what, condition):
        """Looks until the condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.require(time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}")
            time.sleep(0.02)

    # What it is told.

    @property
    def finishing(self):
        return self._finish.is_set()

    def pause(self, seconds):
        """Waits, but not for longer than until it is told to finish."""
        self._finish.wait(seconds)

    def _read_commands(self):
        for line in sys.stdin:
            if line.strip() == "finish":
                self._finish.set()
        # The test is gone: nobody will say it any more.
        self._finish.set()

    def _report(self):
        told = 0
        while True:
            time.sleep(0.05)
            with self._count_lock:
                count = self._count
            if count != told:
                told = count
                self.say("progress", count=count)

    def _watchdog(self):
        time.sleep(LIFETIME_S)
        for frame in sys._current_frames().values():
            traceback.print_stack(frame)
        self.say("violation", what=f"still running after {LIFETIME_S} s")
        os._exit(EXIT_HANGS)

    # How it connects.

    def client(self, member=0, timeout=SESSION_TIMEOUT_S, may_expire=False, **options):
        """A started client whose first choice is the given member; clients spread in this way."""
        first = member % len(self.hosts)
        hosts = self.hosts[first:] + self.hosts[:first]
        zk = KazooClient(
            hosts=",".join(hosts),
            timeout=timeout,
            randomize_hosts=False,
            connection_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5),
            command_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5),
            **options,
        )

        def listen(state):
            if state == KazooState.SUSPENDED:
                with self._count_lock:
                    self.suspensions += 1
            if state == KazooState.LOST and not may_expire and zk not in self._closed():
                self.violation("a session was lost that was in touch with the ensemble")

        zk.add_listener(listen)
        zk.start(timeout=60)
        self._clients.append(zk)
        return zk

    def _closed(self):
        return [client for client in self._clients if client._stopped.is_set()]

    # How it runs.

    def run(self, *workers):
        """Runs the workers side by side until all have returned; `ready` is said before."""
        self.say("ready")
        self.side_by_side(*workers)

    def side_by_side(self, *workers):
        """Runs the workers side by side until all have returned."""

        def guarded(worker):
            try:
                worker()
            except BaseException:
                traceback.print_exc()
                self.violation(f"a worker failed: {traceback.format_exc(limit=-3)}")

        threads = [threading.Thread(target=guarded, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def names_below(self, zk, path):
        """The children of `path`, with everything that was committed before."""
        zk.retry(zk.sync, path)
        return zk.retry(zk.get_children, path)


class Guard:
    """Tells whether two holders overlap.

    Inside this process by a plain variable, and through the ensemble by a znode that every holder
    moves on by exactly one version: the second of two holders finds another version than it read.
    """

    def __init__(self, program, zk, path):
        self.program = program
        self.path = path
        self.holder = None
        self.steps = 0
        self.lock = threading.Lock()
        zk.retry(zk.ensure_path, path)

    def hold(self, zk, name):
        """One stay inside, from taking hold to letting go."""
        with self.lock:
            self.program.require(self.holder is None, f"{name} holds while {self.holder} does")
            self.holder = name
        self._advance(zk, name)
        with self.lock:
            self.holder = None
            self.steps += 1

    def _advance(self, zk, name):
        data, stat = zk.retry(zk.get, self.path)
        token = f"{name}:{stat.version}:{self.steps}".encode()
        unsure = False
        while True:
            try:
                zk.set(self.path, token, version=stat.version)
                return
            except UNKNOWN:
                unsure = True
            except BadVersionError:
                now, _ = zk.retry(zk.get, self.path)
                self.program.require(
                    unsure and now == token,
                    f"{name} was overtaken: found {now!r} after {data!r}, wanted {token!r}",
                )
                return

    def check(self, zk):
        zk.retry(zk.sync, self.path)
        _, stat = zk.retry(zk.get, self.path)
        self.program.require(
            stat.version == self.steps,
            f"{self.steps} steps were acknowledged and {stat.version} are there",
        )
