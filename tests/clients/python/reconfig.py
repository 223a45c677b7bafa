"""A member joins and leaves the ensemble by kazoo's `reconfig`, and every refusal has its exception.

The test has started the member that is to join, and says how it is written in the configuration.
"""

from common import Program
from kazoo.exceptions import (
    BadArgumentsError,
    BadVersionError,
    NewConfigNoQuorumError,
    NoAuthError,
)

CONFIG = "/zookeeper/config"

program = Program("--joining", "--absent")
joining, absent = program.arguments.joining, program.arguments.absent
number = joining.split("=")[0].removeprefix("server.")
administrator = program.client(0, auth_data=[("digest", "super:admin")])
nobody = program.client(1)
told = []


def config(zk):
    """The lines of the servers, and the version."""
    data, stat = zk.get(CONFIG, watch=told.append)
    return read(data, stat)


def read(data, stat):
    lines = data.decode().split("\n")
    program.require(stat.version == -1, f"the znode has version {stat.version}")
    version = f"version={stat.mzxid:x}"
    program.require(lines[-1] == version, f"{lines[-1]} is not {version}")
    return lines[:-1], stat.mzxid


def refused(error, zk, **changes):
    wanted = {"joining": None, "leaving": None, "new_members": None, **changes}
    program.refused(error, f"{changes}", zk.reconfig, **wanted)


def work():
    before, version = config(administrator)
    refused(NoAuthError, nobody, joining=joining)
    refused(BadVersionError, administrator, joining=joining, from_config=version + 1)
    refused(BadArgumentsError, administrator, joining="server.9=nowhere")
    refused(NewConfigNoQuorumError, administrator, joining=absent)
    program.require(config(administrator) == (before, version), "a refusal has changed something")

    program.require(not told, "an event was told of that did not happen")
    joined, after = read(*administrator.reconfig(joining=joining, leaving=None, new_members=None, from_config=version))
    program.require(after > version, f"version {after:#x} follows {version:#x}")
    program.require(any(line.startswith(f"server.{number}=") for line in joined), f"{number} is not in {joined}")
    nobody.sync(CONFIG)
    program.require(config(nobody) == (joined, after), "another client sees another configuration")
    program.require(told, "the watch was not told of it")

    # What the configuration shows is a list of members as it is asked for.
    same, again = read(*administrator.reconfig(joining=None, leaving=None, new_members=",".join(joined)))
    program.require(same == joined and again > after, f"{same} is not {joined}")
    left, _ = read(*administrator.reconfig(joining=None, leaving=number, new_members=None))
    program.require(left == before, f"{left} is not {before}")


program.run(work)
program.verdict(joined=number)
