"""ACLs: who proved a digest may, who did not may not, before and after a move to another member."""

from common import UNKNOWN, Program
from kazoo.exceptions import InvalidACLError, NoAuthError
from kazoo.security import CREATOR_ALL_ACL, make_acl, make_digest_acl

program = Program()
open_client = program.client(0)
open_client.retry(open_client.ensure_path, program.root)
owner = program.client(0, auth_data=[("digest", "owner:secret")])
stranger = program.client(1)
impostor = program.client(2, auth_data=[("digest", "owner:guess")])
PRIVATE, CREATORS = program.root + "/private", program.root + "/creators"
owner.create(PRIVATE, b"0", acl=[make_digest_acl("owner", "secret", all=True)])
owner.create(CREATORS, b"0", acl=CREATOR_ALL_ACL)
try:
    stranger.create(program.root + "/nobody", acl=CREATOR_ALL_ACL)
    program.violation("a client that proved nothing is the creator by scheme auth")
except InvalidACLError:
    pass


def forbidden(zk, who):
    def work():
        while not program.finishing:
            for path in (PRIVATE, CREATORS):
                # Also the look at the ACL is refused: it needs READ or ADMIN.
                attempts = (
                    (zk.get, path), (zk.set, path, b"mine"), (zk.get_children, path),
                    (zk.create, path + "/child"), (zk.set_acls, path, [make_acl("world", "anyone", all=True)]),
                    (zk.get_acls, path),
                )
                for attempt, *arguments in attempts:
                    try:
                        attempt(*arguments)
                        program.violation(f"{who}: {attempt.__name__} of {path} was allowed")
                    except NoAuthError:
                        program.acknowledged()
                    except UNKNOWN:
                        pass

    return work


def allowed():
    version = 0
    while not program.finishing:
        try:
            owner.set(PRIVATE, str(version).encode())
            version += 1
            acls, _ = owner.get_acls(CREATORS)
            program.require(acls[0].id.scheme == "digest", f"auth became {acls}")
            program.acknowledged()
        except UNKNOWN:
            pass


program.run(allowed, forbidden(stranger, "stranger"), forbidden(impostor, "impostor"))
program.require(owner.retry(owner.get, PRIVATE)[0] != b"mine", "the data were overwritten")
program.require(owner.retry(owner.get, CREATORS)[0] == b"0", "the data were overwritten")
program.verdict()
