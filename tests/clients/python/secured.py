"""TLS with certificates of both sides, as kazoo speaks it: `--hosts` is the TLS port of a member,
`--plain` its other one, and `--files` the directory with `trusted.pem` and the certificates and keys
of the clients `kazoo` (issued by whom the member trusts) and `stranger` (by somebody else).
"""

from common import SESSION_TIMEOUT_S, Program
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import CREATOR_ALL_ACL, make_acl

# For clients that must not get in; those that may are waited for.
TURNED_AWAY_S = 3

program = Program("--plain", "--files")


def tls(name):
    files = program.arguments.files
    return {
        "use_ssl": True,
        "ca": f"{files}/trusted.pem",
        "certfile": f"{files}/{name}.pem",
        "keyfile": f"{files}/{name}.key",
    }


def is_turned_away(hosts, what, **options):
    zk = KazooClient(hosts=hosts, timeout=SESSION_TIMEOUT_S, **options)
    try:
        program.refused(KazooTimeoutError, what, zk.start, timeout=TURNED_AWAY_S)
    finally:
        zk.stop()
        zk.close()


owner = program.client(**tls("kazoo"))
owner.ensure_path(program.root)
program.say("ready")


def identity(path):
    owner.create(path, b"secret", acl=CREATOR_ALL_ACL)
    (line,), _ = owner.get_acls(path)
    program.require((line.id.scheme, line.id.id) == ("x509", "CN=kazoo,O=Example"), f"auth became {line}")
    plain = KazooClient(hosts=program.arguments.plain)
    plain.start(timeout=60)
    program.refused(NoAuthError, "a client without a certificate reads", plain.get, path)
    plain.stop()
    plain.close()
    subject = make_acl("x509", "CN=somebody,O=Example", all=True)
    owner.create(path + "-other", b"", acl=[subject])
    program.refused(NoAuthError, "another subject reads", owner.get, path + "-other")


def traffic(path):
    data = bytes(range(256)) * 3000
    owner.create(path, data)
    program.require(owner.get(path)[0] == data, "large data came back as others")
    told = []
    owner.get(path, watch=told.append)
    other = program.client(**tls("kazoo"))
    other.set(path, b"changed")
    program.eventually("the watch is told", lambda: told)
    with other.Lock(path + "-lock", "kazoo"):
        program.require(len(owner.get_children(path + "-lock")) == 1, "a lock has no holder")
    other.create(path + "-ephemeral", ephemeral=True)
    other.stop()
    owner.sync(path)
    program.refused(NoNodeError, "an ephemeral outlasts its session", owner.get, path + "-ephemeral")


def strangers(_path):
    is_turned_away(program.arguments.hosts, "a certificate of somebody else's", **tls("stranger"))
    is_turned_away(program.arguments.hosts, "a client without TLS at the TLS port")
    is_turned_away(program.arguments.plain, "a client with TLS at the plain port", **tls("kazoo"))
    owner.get("/")


program.prove("identity", "auth stands for the certificate's subject", identity)
program.prove("traffic", "data, watches, locks and ephemerals are as without TLS", traffic)
program.prove("strangers", "who does not fit the port is turned away, and nobody else notices", strangers)
program.proved()
