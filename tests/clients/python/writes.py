"""A ledger of writes: whatever was acknowledged is there at the end, as it was written."""

import threading

from common import UNKNOWN, Program

program = Program()
clients = [program.client(member) for member in range(3)]
clients[0].retry(clients[0].ensure_path, program.root)
lock = threading.Lock()
acknowledged, unknown = {}, {}


def write(index):
    zk = clients[index]

    def work():
        number = 0
        while not program.finishing:
            number += 1
            name, data = f"{index}-{number}", f"data of {index}-{number}".encode()
            try:
                zk.create(f"{program.root}/{name}", data)
                with lock:
                    acknowledged[name] = data
                program.acknowledged()
            except UNKNOWN:
                with lock:
                    unknown[name] = data

    return work


program.run(*(write(index) for index in range(len(clients))))
for zk in clients:
    names = set(program.names_below(zk, program.root))
    lost = set(acknowledged) - names
    program.require(not lost, f"acknowledged and lost: {lost}")
    strange = names - set(acknowledged) - set(unknown)
    program.require(not strange, f"nobody wrote {strange}")
expected = {**acknowledged, **unknown}
requests = [(name, clients[0].get_async(f"{program.root}/{name}")) for name in sorted(names)]
for name, request in requests:
    program.require(request.get()[0] == expected[name], f"{name} has other data than were written")
program.verdict(acknowledged=len(acknowledged), unknown=len(unknown))
