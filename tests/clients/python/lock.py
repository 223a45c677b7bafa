"""Lock: contenders on all members; it is never held twice, and every stay leaves its trace."""

from common import Guard, Program

program = Program()
clients = [program.client(member) for member in range(4)]
guard = Guard(program, clients[0], program.root + "/guard")


def contender(index):
    zk = clients[index]
    lock = zk.Lock(program.root + "/lock", f"contender-{index}")

    def work():
        while not program.finishing:
            program.require(lock.acquire(timeout=90), f"contender {index} waited 90 s for the lock")
            guard.hold(zk, f"contender-{index}")
            lock.release()
            program.acknowledged()

    return work


program.run(*(contender(index) for index in range(len(clients))))
guard.check(clients[0])
left = program.names_below(clients[0], program.root + "/lock")
program.require(not left, f"released locks are still there: {left}")
program.verdict(held=guard.steps)
