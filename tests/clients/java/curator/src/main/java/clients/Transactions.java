package clients;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.curator.framework.CuratorFramework;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.data.Stat;

/** Transactions: all or nothing, for the writer and for a reader on another connection. */
final class Transactions {
    public static void main(String[] arguments) throws Exception {
        CuratorProgram program = new CuratorProgram(arguments);
        String counter = program.root + "/counter";
        String left = program.root + "/left";
        String right = program.root + "/right";
        CuratorFramework writer = program.client(0);
        CuratorFramework reader = program.client(1);
        for (String path : List.of(counter, left, right)) {
            writer.create().creatingParentsIfNeeded().forPath(path, Program.bytes("none"));
        }
        Set<String> acknowledged = new HashSet<>();
        int[] refused = {0};
        program.run(List.of(
                () -> {
                    int version = 0;
                    for (int number = 1; !program.finishing(); number++) {
                        String name = String.valueOf(number);
                        try {
                            writer.transaction().forOperations(
                                    writer.transactionOp().create().forPath(left + '/' + name, new byte[1]),
                                    writer.transactionOp().setData().withVersion(version)
                                            .forPath(counter, Program.bytes(name)),
                                    // Done last, and cannot be done: nothing of the rest may stay.
                                    writer.transactionOp().delete().forPath(program.root + "/absent"));
                            Program.violation("a transaction that deletes an absent znode was done");
                        } catch (KeeperException.NoNodeException expected) {
                            refused[0]++;
                        }
                        try {
                            writer.transaction().forOperations(
                                    writer.transactionOp().check().forPath(program.root),
                                    writer.transactionOp().create().forPath(left + '/' + name, new byte[1]),
                                    writer.transactionOp().setData().withVersion(version)
                                            .forPath(counter, Program.bytes(name)),
                                    writer.transactionOp().create().forPath(right + '/' + name, new byte[1]));
                        } catch (KeeperException.NodeExistsException | KeeperException.BadVersionException again) {
                            // Curator asked again after a lost answer; its first try must have been done.
                            String now = Program.text(writer.getData().forPath(counter));
                            Program.require(now.equals(name), "the counter is at " + now + " instead of " + name);
                        }
                        version++;
                        acknowledged.add(name);
                        program.acknowledged();
                    }
                },
                () -> {
                    while (!program.finishing()) {
                        Set<String> half = new HashSet<>(reader.getChildren().forPath(left));
                        half.removeAll(reader.getChildren().forPath(right));
                        Program.require(half.isEmpty(), "half a transaction was seen: " + half);
                    }
                }));
        reader.sync().forPath(program.root);
        Set<String> lefts = new HashSet<>(reader.getChildren().forPath(left));
        Set<String> rights = new HashSet<>(reader.getChildren().forPath(right));
        Program.require(lefts.equals(acknowledged), "left differs from what was acknowledged");
        Program.require(rights.equals(acknowledged), "right differs from what was acknowledged");
        Stat stat = reader.checkExists().forPath(counter);
        Program.require(stat.getVersion() == acknowledged.size(), "the counter is at version " + stat.getVersion());
        program.verdict(Map.of("acknowledged", acknowledged.size(), "refused", refused[0]));
    }
}
