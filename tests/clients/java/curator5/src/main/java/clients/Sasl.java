package clients;

import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.AuthFailedException;
import org.apache.zookeeper.KeeperException.NoAuthException;
import org.apache.zookeeper.KeeperException.SessionClosedRequireAuthException;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;

/**
 * SASL DIGEST-MD5, as ZooKeeper's client speaks it, at a member that requires it. After the port and
 * the root comes a JAAS file with the sections {@code Client} (the user bob), {@code Admin} (super)
 * and {@code Impostor} (bob, with a wrong password).
 */
final class Sasl {
    private static final int ALL = 31;

    private final Program program;
    private final String hosts;

    private Sasl(String[] arguments) {
        program = new Program(arguments);
        hosts = arguments[0];
        System.setProperty("java.security.auth.login.config", arguments[2]);
    }

    public static void main(String[] arguments) throws Exception {
        new Sasl(arguments).run();
    }

    private void run() throws Exception {
        try (Connection first = Connection.to(hosts, section("Client"))) {
            first.client.create(program.root, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        }
        program.ready();
        program.prove("identity", "auth stands for the user", this::identity);
        program.prove("admin", "the operator's user passes every list", this::admin);
        program.prove("impostor", "a wrong password is told, and nothing is done", this::impostor);
        program.prove("required", "who proves nothing is told that it must", this::required);
        program.verdict();
    }

    private static ZKClientConfig section(String name) {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.LOGIN_CONTEXT_NAME_KEY, name);
        // Since 3.9 the client knows no DIGEST-MD5 otherwise, and FIPS mode is its default.
        config.setProperty("zookeeper.fips-mode", "false");
        return config;
    }

    private void identity() throws Exception {
        String path = program.root + "/identity";
        try (Connection bob = Connection.to(hosts, section("Client"))) {
            Program.require(bob.identities().equals(Set.of("ip:127.0.0.1", "sasl:bob")), "bob is " + bob.identities());
            bob.client.create(path, Program.bytes("secret"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            List<ACL> stored = bob.client.getACL(path, null);
            Program.require(stored.equals(List.of(new ACL(ALL, new Id("sasl", "bob")))), "auth became " + stored);
            List<ACL> alices = Arrays.asList(new ACL(ALL, new Id("sasl", "alice")));
            bob.client.create(program.root + "/alices", null, alices, CreateMode.PERSISTENT);
            Program.refused(NoAuthException.class, "another user reads",
                    () -> bob.client.getData(program.root + "/alices", false, null));
        }
    }

    private void admin() throws Exception {
        try (Connection admin = Connection.to(hosts, section("Admin"))) {
            Set<String> expected = Set.of("ip:127.0.0.1", "sasl:super", "super:");
            Program.require(admin.identities().equals(expected), "the operator is " + admin.identities());
            List<ACL> locked = Arrays.asList(new ACL(ALL, new Id("ip", "10.0.0.1")));
            String path = program.root + "/locked";
            admin.client.create(path, null, locked, CreateMode.PERSISTENT);
            admin.client.setData(path, Program.bytes("set"), -1);
        }
    }

    private void impostor() throws Exception {
        try (Connection impostor = new Connection(hosts, section("Impostor"))) {
            impostor.awaitDenied("an impostor");
            Program.refused(AuthFailedException.class, "an impostor reads",
                    () -> impostor.client.getData(program.root, false, null));
        }
    }

    private void required() throws Exception {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.ENABLE_CLIENT_SASL_KEY, "false");
        try (Connection nobody = new Connection(hosts, config)) {
            try {
                nobody.client.exists(program.root, false);
                Program.violation("a client that proved nothing is served");
            } catch (SessionClosedRequireAuthException told) {
                // As it must be.
            } catch (KeeperException.ConnectionLossException lost) {
                Program.violation("a client that must prove something is not told so");
            }
        }
    }
}
