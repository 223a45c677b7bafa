"""SASL DIGEST-MD5, as kazoo speaks it by pure-sasl: the users `bob` and `super` are known."""

from common import SESSION_TIMEOUT_S, Program
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import KazooException, NoAuthError
from kazoo.security import CREATOR_ALL_ACL, make_acl

program = Program()


def user(name, password):
    return {"sasl_options": {"mechanism": "DIGEST-MD5", "username": name, "password": password}}


bob = program.client(**user("bob", "bob's secret"))
bob.ensure_path(program.root)
program.say("ready")


def identity(path):
    bob.create(path, b"secret", acl=CREATOR_ALL_ACL)
    (line,), _ = bob.get_acls(path)
    program.require((line.id.scheme, line.id.id) == ("sasl", "bob"), f"auth became {line}")
    bob.create(path + "-other", b"", acl=[make_acl("sasl", "alice", all=True)])
    program.refused(NoAuthError, "another user reads", bob.get, path + "-other")
    admin = program.client(**user("super", "admin"))
    program.require(admin.get(path)[0] == b"secret", "the user super reads other data")
    admin.set(path + "-other", b"set")


def gathering(path):
    both = program.client(auth_data=[("digest", "carol:secret")], **user("bob", "bob's secret"))
    both.create(path, b"", acl=CREATOR_ALL_ACL)
    schemes = sorted(line.id.scheme for line in both.get_acls(path)[0])
    program.require(schemes == ["digest", "sasl"], f"auth became {schemes}")


def strangers(_path):
    for name, password in (("bob", "wrong"), ("mallory", "bob's secret")):
        zk = KazooClient(hosts=program.arguments.hosts, timeout=SESSION_TIMEOUT_S, **user(name, password))
        # kazoo calls itself connected before it has proven anything, so `start` tells nothing.
        states = []
        zk.add_listener(states.append)
        zk.start_async()
        program.eventually(f"{name} with {password!r} is told", lambda: KazooState.LOST in states)
        program.refused(KazooException, f"{name} with {password!r} reads", zk.get, "/")
        zk.stop()
        zk.close()
    bob.get("/")


program.prove("identity", "auth stands for the user, and super passes every list", identity)
program.prove("gathering", "what is proven by digest comes beside", gathering)
program.prove("strangers", "a wrong password is turned away, and nobody else notices", strangers)
program.proved()
