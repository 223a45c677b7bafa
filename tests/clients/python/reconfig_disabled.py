"""Where nobody has switched it on, kazoo's `reconfig` is refused to everybody, and changes nothing."""

from common import Program
from kazoo.exceptions import ReconfigDisabledError

CONFIG = "/zookeeper/config"

program = Program()
administrator = program.client(0, auth_data=[("digest", "super:admin")])
nobody = program.client(0)


def work():
    before = administrator.get(CONFIG)
    for zk in administrator, nobody:
        for wanted in (
            {"joining": "server.9=127.0.0.1:1:2;3", "leaving": None, "new_members": None},
            {"joining": None, "leaving": "1", "new_members": None},
            {"joining": None, "leaving": None, "new_members": "nonsense"},
        ):
            program.refused(ReconfigDisabledError, f"{wanted}", zk.reconfig, **wanted)
    program.require(administrator.get(CONFIG) == before, "a refusal has changed something")


program.run(work)
program.verdict()
