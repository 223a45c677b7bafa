"""DataWatch and ChildrenWatch: on every member they end at the final state, and never go back."""

import threading
import time

from common import UNKNOWN, Program
from kazoo.exceptions import NodeExistsError, NoNodeError

CONVERGES_WITHIN_S = 60
program = Program()
writer = program.client(0)
DATA, CHILDREN = program.root + "/data", program.root + "/children"
writer.retry(writer.ensure_path, DATA)
writer.retry(writer.ensure_path, CHILDREN)


class Watcher:
    def __init__(self, member):
        self.zk = program.client(member)
        self.member = member
        self.data, self.mzxid, self.children = None, 0, None
        self.calls = 0
        self.changed = threading.Condition()
        self.zk.DataWatch(DATA, self.on_data)
        self.zk.ChildrenWatch(CHILDREN, self.on_children)

    def on_data(self, data, stat):
        program.require(stat is not None, "the watched znode was never deleted")
        with self.changed:
            program.require(
                stat.mzxid >= self.mzxid,
                f"watcher {self.member} went back from {self.mzxid:#x} to {stat.mzxid:#x}",
            )
            self.data, self.mzxid = data, stat.mzxid
            self.calls += 1
            self.changed.notify_all()

    def on_children(self, children):
        with self.changed:
            self.children = set(children)
            self.calls += 1
            self.changed.notify_all()

    def await_state(self, data, children):
        deadline = time.monotonic() + CONVERGES_WITHIN_S
        with self.changed:
            while (self.data, self.children) != (data, children):
                program.require(
                    self.changed.wait(max(0, deadline - time.monotonic())),
                    f"watcher {self.member} stays at {self.data!r} and {len(self.children or ())} children; "
                    f"there are {data!r} and {len(children)}",
                )


watchers = [Watcher(member) for member in range(3)]


def write():
    number = 0
    while not program.finishing:
        number += 1
        name = f"{CHILDREN}/child-{number % 20}"
        try:
            writer.set(DATA, str(number).encode())
            try:
                writer.create(name)
            except NodeExistsError:
                writer.delete(name)
            program.acknowledged()
        except (NoNodeError, *UNKNOWN):
            pass


program.run(write)
writer.retry(writer.set, DATA, b"final")
final_children = set(writer.retry(writer.get_children, CHILDREN))
for watcher in watchers:
    watcher.await_state(b"final", final_children)
program.require(all(watcher.calls > 2 for watcher in watchers), "some watcher was hardly ever called")
program.verdict(calls=[watcher.calls for watcher in watchers])
