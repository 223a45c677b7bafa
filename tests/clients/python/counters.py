"""Counter: no acknowledged increment is lost; one that was interrupted counts at most twice."""

import threading

from common import Program

program = Program()
clients = [program.client(member) for member in range(3)]
lock = threading.Lock()
acknowledged = 0


def increment(zk):
    counter = zk.Counter(program.root + "/counter")

    def work():
        global acknowledged
        counted = counter
        while not program.finishing:
            counted += 1
            with lock:
                acknowledged += 1
            program.acknowledged()

    return work


program.run(*(increment(zk) for zk in clients))
reader = clients[0]
reader.retry(reader.sync, program.root)
value = reader.Counter(program.root + "/counter").value
# The recipe asks again when its connection broke, once for each time.
program.require(
    acknowledged <= value <= acknowledged + program.suspensions,
    f"{acknowledged} increments were acknowledged, {program.suspensions} interrupted: {value}",
)
program.verdict(value=value)
