package clients;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.curator.framework.CuratorFramework;
import org.apache.zookeeper.KeeperException;

/**
 * EnsembleTracker: a client that was told of one member learns the others from
 * {@code /zookeeper/config}, and goes on with them when that one is killed.
 */
final class Tracker {
    public static void main(String[] arguments) throws Exception {
        CuratorProgram program = new CuratorProgram(arguments);
        CuratorFramework client = program.clientOf(program.hosts.get(0));
        client.blockUntilConnected();
        Program.eventually("the client knows all members", () -> knowsAll(program, client));
        client.create().creatingParentsIfNeeded().forPath(program.root + "/written");
        int[] written = {0};
        program.run(List.of(() -> {
            while (!program.finishing()) {
                String path = program.root + "/written/" + written[0];
                try {
                    client.create().forPath(path);
                } catch (KeeperException.NodeExistsException again) {
                    // Curator asked again after a lost answer.
                }
                Program.require(client.checkExists().forPath(path) != null, path + " was acknowledged and is not there");
                written[0]++;
                program.acknowledged();
            }
        }));
        Program.require(knowsAll(program, client), "the client forgot members");
        client.sync().forPath(program.root);
        int there = client.getChildren().forPath(program.root + "/written").size();
        Program.require(there == written[0], written[0] + " were acknowledged and " + there + " are there");
        program.verdict(Map.of("written", written[0]));
    }

    private static boolean knowsAll(CuratorProgram program, CuratorFramework client) {
        String now = client.getZookeeperClient().getCurrentConnectionString();
        return new TreeSet<>(Arrays.asList(now.split(","))).equals(new TreeSet<>(program.hosts));
    }
}
