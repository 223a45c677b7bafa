"""Election: one leader at a time; when a leader's session ends, the next one is elected."""

import threading

from common import Guard, Program

program = Program()
observer = program.client(0)
guard = Guard(program, observer, program.root + "/guard")
elected = {}
elected_lock = threading.Lock()


def contender(index):
    name = f"contender-{index}"

    def work():
        zk = program.client(index)
        terms = 0

        def lead():
            guard.hold(zk, name)
            with elected_lock:
                elected[name] = elected.get(name, 0) + 1
            program.acknowledged()

        def lead_and_vanish():
            # The session ends while it leads: its candidacy must end with it.
            lead()
            zk.stop()

        while not program.finishing:
            terms += 1
            election = zk.Election(program.root + "/election", name)
            if index == 0 and terms % 5 == 0:
                try:
                    election.run(lead_and_vanish)
                except Exception as error:
                    # The recipe lets go of what it no longer holds, on a closed client.
                    program.require(zk._stopped.is_set(), f"{name}: {error!r}")
                zk = program.client(index)
            else:
                election.run(lead)

    return work


program.run(*(contender(index) for index in range(3)))
guard.check(observer)
left = program.names_below(observer, program.root + "/election")
program.require(not left, f"candidacies of ended terms are still there: {left}")
program.verdict(elected=elected)
