package clients;

import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/**
 * PersistentNode: its ephemeral comes back after it was deleted, and after its session was ended;
 * meanwhile it stays, whatever becomes of members.
 */
final class Node {
    private static final int ROUNDS_PER_SESSION = 5;
    private static final int LOOKS_BETWEEN_CLOSES = 100;

    public static void main(String[] arguments) throws Exception {
        Program program = new Program(arguments);
        String path = program.root + "/node";
        CuratorFramework other = program.client(1);
        CuratorFramework owner = program.client(0, true);
        PersistentNode node = new PersistentNode(owner, CreateMode.EPHEMERAL, false, path, Program.bytes("here"));
        node.start();
        Program.require(node.waitForInitialCreate(60, TimeUnit.SECONDS), "the znode is not made");
        int[] ended = {0};
        program.run(List.of(() -> {
            for (int round = 1; !program.finishing(); round++) {
                Stat before = there(other, path);
                if (round % ROUNDS_PER_SESSION == 0) {
                    endSession(program, owner);
                    ended[0]++;
                } else {
                    other.delete().quietly().forPath(path);
                }
                Program.eventually("the znode is made again", () -> {
                    Stat now = other.checkExists().forPath(path);
                    return now != null && now.getCzxid() > before.getCzxid();
                });
                program.acknowledged();
            }
        }));
        Stat last = there(other, path);
        long session = owner.getZookeeperClient().getZooKeeper().getSessionId();
        Program.require(last.getEphemeralOwner() == session, "the znode belongs to another session");
        Program.require(Program.text(other.getData().forPath(path)).equals("here"), "the znode has other data");
        node.close();
        Program.eventually("the znode is gone with its recipe", () -> other.checkExists().forPath(path) == null);
        program.verdict(Map.of("sessions_ended", ended[0]));
    }

    private static Stat there(CuratorFramework client, String path) throws Exception {
        Stat[] found = {null};
        Program.eventually("the znode is there", () -> (found[0] = client.checkExists().forPath(path)) != null);
        return found[0];
    }

    /** Ends the owner's session: takes it over on a second connection, and closes it there. */
    private static void endSession(Program program, CuratorFramework owner) throws Exception {
        ZooKeeper theirs = owner.getZookeeperClient().getZooKeeper();
        long session = theirs.getSessionId();
        byte[] password = theirs.getSessionPasswd();
        Program.eventually("the owner has another session", () -> {
            // Again and again: the member that was asked to close it may have been killed.
            closeElsewhere(program, session, password);
            for (int look = 0; look < LOOKS_BETWEEN_CLOSES && !hasOther(owner, session); look++) {
                Thread.sleep(20);
            }
            return hasOther(owner, session);
        });
    }

    private static void closeElsewhere(Program program, long session, byte[] password) throws Exception {
        try (ZooKeeper same = new ZooKeeper(
                String.join(",", program.hosts), Program.SESSION_TIMEOUT_MS, event -> { }, session, password)) {
            Program.eventually("the session is taken over or has ended",
                    () -> !same.getState().isAlive() || same.getState().isConnected());
        }
    }

    private static boolean hasOther(CuratorFramework owner, long session) throws Exception {
        return owner.getZookeeperClient().isConnected()
                && owner.getZookeeperClient().getZooKeeper().getSessionId() != session;
    }
}
