"""Transactions: all or nothing, for the writer and for a reader on another member.

Each one moves a counter on from the version it read and makes two znodes; the pair is there exactly
if the counter got past it.
"""

from common import UNKNOWN, Program
from kazoo.exceptions import BadVersionError, NoNodeError, RolledBackError, RuntimeInconsistency

program = Program()
writer, reader = program.client(0), program.client(1)
COUNTER, LEFT, RIGHT = (f"{program.root}/{name}" for name in ("counter", "left", "right"))
for path in (COUNTER, LEFT, RIGHT):
    writer.retry(writer.ensure_path, path)
acknowledged, unknown, refused = [], [], []


def write():
    version = writer.retry(writer.get, COUNTER)[1].version
    number = 0
    while not program.finishing:
        number += 1
        transaction = writer.transaction()
        transaction.check(program.root, -1)
        transaction.create(f"{LEFT}/{number}", b"l")
        transaction.set_data(COUNTER, str(number).encode(), version)
        transaction.create(f"{RIGHT}/{number}", b"r")
        if number % 10 == 0:
            # One that must leave nothing behind, though its first parts could be done.
            transaction.delete(program.root + "/absent")
        try:
            results = transaction.commit()
        except UNKNOWN:
            unknown.append(number)
            now = writer.retry(writer.get, COUNTER)[1].version
            program.require(now in (version, version + 1), f"version {now} after {version}")
            # Its fate is settled here: with this version it can take effect no more later on.
            while True:
                try:
                    now = writer.set(COUNTER, b"settled", now).version
                    break
                except BadVersionError:
                    now = writer.retry(writer.get, COUNTER)[1].version
                except UNKNOWN:
                    pass
            version = now
            continue
        failures = [result for result in results if isinstance(result, Exception)]
        if number % 10 == 0:
            kinds = [type(result) for result in results]
            program.require(
                kinds == [RolledBackError] * 4 + [NoNodeError], f"a refused transaction says {kinds}"
            )
            refused.append(number)
            continue
        program.require(not failures, f"transaction {number}: {failures}")
        program.require(results[2].version == version + 1, f"version {results[2].version} after {version}")
        version = results[2].version
        acknowledged.append(number)
        program.acknowledged()


def read():
    # Its member may not have what the writer made on another one.
    reader.retry(reader.sync, program.root)
    while not program.finishing:
        left = set(reader.retry(reader.get_children, LEFT))
        right = set(reader.retry(reader.get_children, RIGHT))
        program.require(left <= right, f"half a transaction was seen: {left - right}")


program.run(write, read)
left, right = (set(map(int, program.names_below(reader, path))) for path in (LEFT, RIGHT))
program.require(left == right, f"halves: {left ^ right}")
lost = set(acknowledged) - left
program.require(not lost, f"acknowledged and not there: {lost}")
program.require(not left & set(refused), f"refused and there: {left & set(refused)}")
strange = left - set(acknowledged) - set(unknown)
program.require(not strange, f"nobody made {strange}")
program.verdict(acknowledged=len(acknowledged), unknown=len(unknown), refused=len(refused))
