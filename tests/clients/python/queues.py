"""Queue and LockingQueue: no acknowledged item is lost, none is taken twice.

A put or a take whose connection broke is unknown: such an item may be anywhere, but only once.
"""

import threading

from common import UNKNOWN, Program
from kazoo.exceptions import NoNodeError

program = Program()
lock = threading.Lock()


class Ledger:
    """What became of each item of one queue, as far as its clients were told."""

    def __init__(self, name):
        self.name = name
        self.put, self.put_unknown, self.taken = set(), set(), {}

    def was_taken(self, item, by):
        with lock:
            program.require(
                item not in self.taken, f"{self.name}: {by} takes {item!r} after {self.taken.get(item)}"
            )
            self.taken[item] = by
        program.acknowledged()

    def check(self, remaining, interrupted_takes):
        remaining = set(remaining)
        both = remaining & set(self.taken)
        program.require(not both, f"{self.name}: taken and still there: {both}")
        strange = (remaining | set(self.taken)) - self.put - self.put_unknown
        program.require(not strange, f"{self.name}: nobody put {strange}")
        missing = self.put - remaining - set(self.taken)
        program.require(
            len(missing) <= interrupted_takes,
            f"{self.name}: {len(missing)} items are gone, {interrupted_takes} takes were interrupted: {missing}",
        )


plain, locking = Ledger("Queue"), Ledger("LockingQueue")
PLAIN, LOCKING = program.root + "/plain", program.root + "/locking"


def producer(index, ledger, queue):
    def work():
        number = 0
        while not program.finishing:
            if len(ledger.put) - len(ledger.taken) > 50:
                program.pause(0.01)
                continue
            item = f"{index}-{number}".encode()
            number += 1
            try:
                queue.put(item)
                with lock:
                    ledger.put.add(item)
            except UNKNOWN:
                with lock:
                    ledger.put_unknown.add(item)

    return work


def plain_consumer(index, queue):
    def work():
        while not program.finishing:
            item = queue.get()
            if item is None:
                program.pause(0.01)
            else:
                plain.was_taken(item, f"consumer-{index}")

    return work


def locking_consumer(index, queue):
    def work():
        unsure = False
        while not program.finishing:
            item = queue.get(timeout=1)
            if item is None:
                continue
            try:
                consumed = queue.consume()
            except UNKNOWN:
                unsure = True
                continue
            except NoNodeError:
                program.require(unsure, f"the lock of {item!r} vanished while it was held")
                queue.processing_element = None
                consumed = True
            unsure = False
            program.require(consumed, f"the lock of {item!r} went to another consumer")
            locking.was_taken(item, f"consumer-{index}")

    return work


takers = [program.client(index) for index in range(2)]
workers = []
for index in range(2):
    zk = program.client(index)
    workers.append(producer(index, plain, zk.Queue(PLAIN)))
    workers.append(producer(index, locking, zk.LockingQueue(LOCKING)))
    workers.append(plain_consumer(index, takers[index].Queue(PLAIN)))
    workers.append(locking_consumer(index, program.client(index + 1).LockingQueue(LOCKING)))
program.run(*workers)

reader = program.client(2)


def items_below(path):
    return [reader.retry(reader.get, f"{path}/{name}")[0] for name in program.names_below(reader, path)]


# The recipe reads an item and deletes it in two requests and asks again when the delete was
# interrupted: at most one item for each time that a consumer's connection broke.
plain.check(items_below(PLAIN), interrupted_takes=program.suspensions)
# A consumer that ends between a lost answer and its next look does not know of its last item.
locking.check(items_below(LOCKING + "/entries"), interrupted_takes=min(2, program.suspensions))
program.verdict(plain=len(plain.taken), locking=len(locking.taken))
