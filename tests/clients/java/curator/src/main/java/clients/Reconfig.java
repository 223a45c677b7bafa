package clients;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.Stat;

/**
 * A member joins by {@code ZooKeeperAdmin} and leaves by Curator, and a client that was told of the
 * first members learns of it: its connection string follows {@code /zookeeper/config}.
 */
final class Reconfig {
    private static final byte[] SUPER = Program.bytes("super:admin");

    public static void main(String[] arguments) throws Exception {
        CuratorProgram program = new CuratorProgram(arguments);
        String joining = arguments[2];
        String number = joining.substring("server.".length(), joining.indexOf('='));
        String address = joining.substring(joining.indexOf(';') + 1);
        CuratorFramework follower = program.client(0);
        follower.blockUntilConnected();
        Set<String> first = new TreeSet<>(program.hosts);
        Set<String> more = new TreeSet<>(first);
        more.add(address);
        program.run(List.of(() -> {
            byAdministrator(program, joining, number);
            Program.eventually("the client knows the new member", () -> knows(follower).equals(more));
            byCurator(program, number);
            Program.eventually("the client knows that it has left", () -> knows(follower).equals(first));
        }));
        program.verdict(Map.of("joined", number));
    }

    private static void byAdministrator(CuratorProgram program, String joining, String number) throws Exception {
        LinkedBlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();
        String hosts = String.join(",", program.hosts);
        try (ZooKeeperAdmin administrator = new ZooKeeperAdmin(hosts, Program.SESSION_TIMEOUT_MS, event -> {})) {
            Stat stat = new Stat();
            byte[] before = administrator.getConfig(events::add, stat);
            requireVersion(before, stat);
            Program.refused(KeeperException.NoAuthException.class, "nobody in particular asks",
                    () -> administrator.reconfigure(joining, null, null, -1, null));
            administrator.addAuthInfo("digest", SUPER);
            Program.refused(KeeperException.BadVersionException.class, "another version is demanded",
                    () -> administrator.reconfigure(joining, null, null, stat.getMzxid() + 1, null));
            Program.require(Arrays.equals(administrator.getConfig(false, null), before), "a refusal has changed something");
            byte[] after = administrator.reconfigure(joining, null, null, stat.getMzxid(), stat);
            requireVersion(after, stat);
            Program.require(has(after, number), Program.text(after) + " is without " + number);
            WatchedEvent told = events.poll(60, TimeUnit.SECONDS);
            Program.require(told != null && told.getPath().equals("/zookeeper/config"), "the watch told of " + told);
        }
    }

    private static void byCurator(CuratorProgram program, String number) throws Exception {
        CuratorFramework curator = program.clientOf(program.hosts.get(1));
        curator.blockUntilConnected();
        curator.getZookeeperClient().getZooKeeper().addAuthInfo("digest", SUPER);
        Stat stat = new Stat();
        curator.getConfig().storingStatIn(stat).forEnsemble();
        byte[] after = curator.reconfig()
                .leaving(number)
                .storingStatIn(stat)
                .fromConfig(stat.getMzxid())
                .forEnsemble();
        requireVersion(after, stat);
        Program.require(!has(after, number), Program.text(after) + " is with " + number);
    }

    private static void requireVersion(byte[] config, Stat stat) {
        String version = "version=" + Long.toHexString(stat.getMzxid());
        Program.require(Program.text(config).endsWith(version), Program.text(config) + " is not of " + version);
    }

    private static boolean has(byte[] config, String number) {
        return Program.text(config).contains("server." + number + "=");
    }

    private static Set<String> knows(CuratorFramework client) {
        String now = client.getZookeeperClient().getCurrentConnectionString();
        return new TreeSet<>(Arrays.asList(now.split(",")));
    }
}
