package clients;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/**
 * Curator and the Java client with {@code canBeReadOnly}, while the ensemble loses its quorum and gets
 * it back.
 *
 * <p>The test kills all members but the first of the hosts once this is ready, and starts them again
 * after the first progress.
 */
final class ReadOnly {
    private static final byte[] BEFORE = Program.bytes("before");

    public static void main(String[] arguments) throws Exception {
        CuratorProgram program = new CuratorProgram(arguments);
        String hosts = String.join(",", program.hosts);
        String path = program.root;
        String mine = path + "/mine";
        // It has a session of the ensemble, which none may speak for meanwhile.
        Set<KeeperState> ownerSaw = ConcurrentHashMap.newKeySet();
        ZooKeeper owner = client(hosts, ownerSaw);
        connected(owner, ZooKeeper.States.CONNECTED);
        owner.create(path, BEFORE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        owner.create(mine, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        long session = owner.getSessionId();

        program.run(List.of(() -> {
            Program.eventually("the owner has lost its member", () -> !owner.getState().isConnected());
            Set<ConnectionState> curatorSaw = ConcurrentHashMap.newKeySet();
            CuratorFramework curator = program.clientToRead(curatorSaw);
            Set<KeeperState> readerSaw = ConcurrentHashMap.newKeySet();
            ZooKeeper reader = client(hosts, readerSaw);
            connected(reader, ZooKeeper.States.CONNECTEDREADONLY);
            Program.eventually("Curator is told that it may read", () -> curatorSaw.contains(ConnectionState.READ_ONLY));
            Program.require(Program.text(reader.getData(path, false, null)).equals("before"), "it is not read");
            Program.require(Program.text(curator.getData().forPath(path)).equals("before"), "Curator does not read it");
            Program.refused(KeeperException.NotReadOnlyException.class, "a set",
                    () -> reader.setData(path, null, -1));
            Program.refused(KeeperException.NotReadOnlyException.class, "a create by Curator",
                    () -> curator.create().forPath(path + "/new"));
            Program.require(!ownerSaw.contains(KeeperState.ConnectedReadOnly), "the owner's session was spoken for");
            program.acknowledged();

            connected(reader, ZooKeeper.States.CONNECTED);
            connected(owner, ZooKeeper.States.CONNECTED);
            // The first connection that can write is no reconnection to Curator.
            Program.eventually("Curator can write",
                    () -> curatorSaw.contains(ConnectionState.CONNECTED));
            curator.create().orSetData().forPath(path + "/new");
            Program.require(!readerSaw.contains(KeeperState.Expired), "the reader was told that it has lost something");
            Program.require(owner.getSessionId() == session, "the owner has another session");
            Program.eventually("the owner is answered", () -> {
                try {
                    Stat stat = owner.exists(mine, false);
                    Program.require(stat != null && stat.getEphemeralOwner() == session,
                            "the owner's ephemeral is gone");
                    return true;
                } catch (KeeperException.ConnectionLossException moved) {
                    // An attempt to connect that it had given up, with the member that took it, may still
                    // be answered, and take the session there for a moment.
                    return false;
                }
            });
            reader.close();
            owner.close();
        }));
        program.verdict(Map.of("session", Long.toHexString(session)));
    }

    private static ZooKeeper client(String hosts, Set<KeeperState> seen) throws Exception {
        return new ZooKeeper(hosts, Program.SESSION_TIMEOUT_MS, event -> seen.add(event.getState()), true);
    }

    private static void connected(ZooKeeper client, ZooKeeper.States wanted) throws Exception {
        Program.eventually("a client is " + wanted, () -> client.getState() == wanted);
    }
}
