package clients.recipes;

import clients.Program;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.recipes.locks.ChildReaper;
import org.apache.curator.framework.recipes.locks.Reaper;
import org.apache.curator.framework.recipes.nodes.PersistentEphemeralNode;

/** What Curator 4 has and Curator 5 has no more. */
@SuppressWarnings("deprecation")
final class OfThisVersion {
    static void all(Recipes recipes) {
        recipes.prove("ChildReaper", "removes children that have become empty, and no others", OfThisVersion::reaper);
        recipes.prove("PersistentEphemeralNode", "made again after it was deleted", OfThisVersion::ephemeralNode);
    }

    private static void reaper(Stage stage) throws Exception {
        String path = stage.path("parent");
        stage.client(1).create().creatingParentsIfNeeded().forPath(path + "/empty");
        stage.client(1).create().creatingParentsIfNeeded().forPath(path + "/full/child");
        stage.synced(0);
        try (ChildReaper reaper = new ChildReaper(stage.client(0), path, Reaper.Mode.REAP_UNTIL_GONE, 1)) {
            reaper.start();
            Program.eventually("the empty child is removed",
                    () -> stage.client(1).checkExists().forPath(path + "/empty") == null);
            Program.require(stage.client(1).checkExists().forPath(path + "/full") != null, "a full child was removed");
        }
    }

    private static void ephemeralNode(Stage stage) throws Exception {
        String path = stage.path("node");
        try (PersistentEphemeralNode node = new PersistentEphemeralNode(
                stage.client(0), PersistentEphemeralNode.Mode.EPHEMERAL, path, Program.bytes("here"))) {
            node.start();
            Program.require(node.waitForInitialCreate(Stage.PATIENCE_S, TimeUnit.SECONDS), "the znode is not made");
            long before = stage.synced(1).checkExists().forPath(path).getCzxid();
            stage.client(1).delete().forPath(path);
            Program.eventually("the znode is made again", () -> {
                var stat = stage.client(1).checkExists().forPath(path);
                return stat != null && stat.getCzxid() > before;
            });
        }
    }
}
