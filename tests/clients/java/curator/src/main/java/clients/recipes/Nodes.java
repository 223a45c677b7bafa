package clients.recipes;

import clients.Program;
import clients.Sessions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.data.Stat;

/** Znodes that stay as long as their recipe does. */
final class Nodes {
    static void all(Recipes recipes) {
        recipes.prove("PersistentNode",
                "made again after it was deleted and after its session ended, gone when it is closed",
                Nodes::persistentNode);
        recipes.prove("GroupMember", "all members know all members and their data, and no others",
                Nodes::groupMember);
    }

    private static void persistentNode(Stage stage) throws Exception {
        String path = stage.path("node");
        CuratorFramework owner = stage.mortal(0);
        CuratorFramework other = stage.client(1);
        PersistentNode node = new PersistentNode(owner, CreateMode.EPHEMERAL, false, path, Program.bytes("first"));
        node.start();
        Program.require(node.waitForInitialCreate(Stage.PATIENCE_S, TimeUnit.SECONDS), "the znode is not made");
        Stat first = await(other, path, 0);
        Program.require(first.getEphemeralOwner() == session(owner), "the znode belongs to another session");
        other.delete().forPath(path);
        Stat second = await(other, path, first.getCzxid());
        node.setData(Program.bytes("second"));
        Program.eventually("the znode has its new data",
                () -> Program.text(other.getData().forPath(path)).equals("second"));
        Sessions.end(stage.program, owner);
        Stat third = await(other, path, second.getCzxid());
        Program.require(third.getEphemeralOwner() == session(owner), "the znode belongs to the session that ended");
        Program.require(Program.text(other.getData().forPath(path)).equals("second"), "the znode lost its data");
        node.close();
        Program.eventually("the znode is gone with its recipe", () -> other.checkExists().forPath(path) == null);
        owner.close();

        for (CreateMode mode : List.of(CreateMode.PERSISTENT, CreateMode.EPHEMERAL_SEQUENTIAL)) {
            String prefix = stage.path(mode.name());
            try (PersistentNode kept = new PersistentNode(stage.client(0), mode, true, prefix, new byte[0])) {
                kept.start();
                Program.require(kept.waitForInitialCreate(Stage.PATIENCE_S, TimeUnit.SECONDS), "no znode is made");
                String actual = kept.getActualPath();
                Stat before = await(other, actual, 0);
                other.delete().forPath(actual);
                await(other, actual, before.getCzxid());
            }
        }
    }

    /** The znode, once it is there and was made after this zxid. */
    private static Stat await(CuratorFramework client, String path, long after) throws Exception {
        Stat[] found = {null};
        Program.eventually(path + " is made", () -> {
            found[0] = client.checkExists().forPath(path);
            return found[0] != null && found[0].getCzxid() > after;
        });
        return found[0];
    }

    private static long session(CuratorFramework client) throws Exception {
        return client.getZookeeperClient().getZooKeeper().getSessionId();
    }

    private static void groupMember(Stage stage) throws Exception {
        String path = stage.path("group");
        List<GroupMember> members = new ArrayList<>();
        for (int i = 0; i < stage.size(); i++) {
            members.add(new GroupMember(stage.client(i), path, "member-" + i, Program.bytes("data of " + i)));
            members.get(i).start();
        }
        awaitMembers(members, Map.of("member-0", "data of 0", "member-1", "data of 1", "member-2", "data of 2"));
        members.get(1).setThisData(Program.bytes("news"));
        awaitMembers(members, Map.of("member-0", "data of 0", "member-1", "news", "member-2", "data of 2"));
        members.remove(2).close();
        awaitMembers(members, Map.of("member-0", "data of 0", "member-1", "news"));

        CuratorFramework mortal = stage.mortal(2);
        GroupMember dying = new GroupMember(mortal, path, "dying");
        dying.start();
        Program.eventually("a new member is known", () -> members.get(0).getCurrentMembers().containsKey("dying"));
        mortal.close();
        awaitMembers(members, Map.of("member-0", "data of 0", "member-1", "news"));
        members.forEach(GroupMember::close);
    }

    private static void awaitMembers(List<GroupMember> members, Map<String, String> expected) throws Exception {
        for (GroupMember member : members) {
            Program.eventually("a member knows the group as " + expected, () -> member.getCurrentMembers().entrySet()
                    .stream()
                    .collect(Collectors.toMap(Map.Entry::getKey, entry -> Program.text(entry.getValue())))
                    .equals(expected));
        }
    }
}
