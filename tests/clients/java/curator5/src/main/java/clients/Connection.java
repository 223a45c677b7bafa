package clients;

import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ClientInfo;

/** A client of ZooKeeper's own, and whether it is let in. */
final class Connection implements AutoCloseable {
    /** For clients that must not get in; those that may are waited for. */
    private static final int TURNED_AWAY_S = 3;

    private final CountDownLatch connected = new CountDownLatch(1);
    private final CountDownLatch denied = new CountDownLatch(1);
    final ZooKeeper client;

    Connection(String hosts, ZKClientConfig config) throws Exception {
        client = new ZooKeeper(hosts, Program.SESSION_TIMEOUT_MS, event -> {
            if (event.getState() == KeeperState.SyncConnected) {
                connected.countDown();
            }
            if (event.getState() == KeeperState.AuthFailed) {
                denied.countDown();
            }
        }, config);
    }

    /** A client that must get in. */
    static Connection to(String hosts, ZKClientConfig config) throws Exception {
        Connection connection = new Connection(hosts, config);
        Program.require(connection.connected.await(60, TimeUnit.SECONDS), "a client is not let in");
        return connection;
    }

    static void isTurnedAway(String hosts, ZKClientConfig config, String what) throws Exception {
        try (Connection connection = new Connection(hosts, config)) {
            Program.require(!connection.connected.await(TURNED_AWAY_S, TimeUnit.SECONDS), what + " is let in");
        }
    }

    void awaitDenied(String what) throws Exception {
        Program.require(denied.await(60, TimeUnit.SECONDS), what + " is not told that it failed");
    }

    /** {@code scheme:id} of each identity. */
    Set<String> identities() throws Exception {
        Set<String> identities = new TreeSet<>();
        for (ClientInfo identity : client.whoAmI()) {
            identities.add(identity.getAuthScheme() + ':' + identity.getUser());
        }
        return identities;
    }

    @Override
    public void close() throws Exception {
        client.close(0);
    }
}
