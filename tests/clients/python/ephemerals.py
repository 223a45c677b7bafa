"""Ephemerals: gone once their session's timeout has passed, not before; a living session's stay."""

import pathlib
import subprocess
import sys
import threading
import time

from common import Program

VICTIM_TIMEOUT_S = 3.0
GONE_WITHIN_S = 60.0
program = Program()
observer, survivor = program.client(0), program.client(1)
observer.retry(observer.ensure_path, program.root)
SURVIVOR = program.root + "/survivor"
survivor.create(SURVIVOR, ephemeral=True)
born = survivor.get(SURVIVOR)[1].czxid
rounds = 0


def victim():
    """One client killed, and its ephemeral watched until it is gone."""
    global rounds
    path = f"{program.root}/victim-{rounds}"
    rounds += 1
    command = [sys.executable, str(pathlib.Path(__file__).with_name("victim.py"))]
    process = subprocess.Popen(
        command + [",".join(program.hosts), path, str(VICTIM_TIMEOUT_S)], stdout=subprocess.PIPE, text=True
    )
    heard = [float(process.stdout.readline()) for _ in range(20)][-1]
    program.say("killing", victim=path)
    process.kill()
    for line in process.stdout:
        # A line cut short by the kill is one that was not printed.
        heard = float(line) if line.endswith("\n") else heard
    process.wait()
    gone = threading.Event()
    deadline = time.monotonic() + GONE_WITHIN_S
    while not gone.is_set():
        if observer.retry(observer.exists, path, lambda event: None) is None:
            gone.set()
        program.require(time.monotonic() < deadline, f"{path} outlives its session")
        time.sleep(0.01)
    after = time.monotonic() - heard
    program.require(after >= VICTIM_TIMEOUT_S, f"{path} is gone {after:.3f} s after it was heard from")
    program.acknowledged()


def kill_victims():
    while not program.finishing:
        victim()


def watch_survivor():
    while not program.finishing:
        stat = observer.retry(observer.exists, SURVIVOR)
        program.require(stat is not None, "the ephemeral of a living session is gone")
        program.require(stat.czxid == born, "the ephemeral of a living session was made again")
        time.sleep(0.02)


program.run(kill_victims, watch_survivor)
survivor.stop()
program.require(observer.retry(observer.exists, SURVIVOR) is None or
                not (observer.sync(SURVIVOR) and observer.exists(SURVIVOR)),
                "the ephemeral of a closed session is still there")
program.verdict(rounds=rounds)
