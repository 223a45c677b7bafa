package clients;

import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.data.Stat;

/**
 * PersistentNode: its ephemeral comes back after it was deleted, and after its session was ended;
 * meanwhile it stays, whatever becomes of members.
 */
final class Node {
    private static final int ROUNDS_PER_SESSION = 5;

    public static void main(String[] arguments) throws Exception {
        CuratorProgram program = new CuratorProgram(arguments);
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
                    Sessions.end(program, owner);
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
}
