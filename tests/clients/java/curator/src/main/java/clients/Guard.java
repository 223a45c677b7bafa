package clients;

import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.curator.framework.CuratorFramework;
import org.apache.zookeeper.KeeperException.BadVersionException;
import org.apache.zookeeper.data.Stat;

/**
 * Tells whether two holders overlap: in this process by a plain variable, and through the ensemble
 * by a znode that every holder moves on by exactly one version.
 */
public final class Guard {
    private final String path;
    private final AtomicReference<String> holder = new AtomicReference<>();
    private final AtomicLong tokens = new AtomicLong();
    public final AtomicLong steps = new AtomicLong();

    public Guard(CuratorFramework client, String path) throws Exception {
        this.path = path;
        client.create().orSetData().creatingParentsIfNeeded().forPath(path, Program.bytes("nobody"));
    }

    /** One stay inside, from taking hold to letting go. */
    public void hold(CuratorFramework client, String name) throws Exception {
        String other = holder.compareAndExchange(null, name);
        Program.require(other == null, name + " holds while " + other + " does");
        Program.require(advance(client, name), name + " was overtaken");
        holder.set(null);
    }

    /** Moves the guard on by one version; false if somebody else did so since it was read. */
    public boolean advance(CuratorFramework client, String name) throws Exception {
        Stat stat = new Stat();
        client.getData().storingStatIn(stat).forPath(path);
        String token = name + ':' + tokens.incrementAndGet();
        try {
            client.setData().withVersion(stat.getVersion()).forPath(path, Program.bytes(token));
        } catch (BadVersionException overtaken) {
            // By its own first try, if the connection broke and Curator asked again.
            if (!Program.text(client.getData().forPath(path)).equals(token)) {
                return false;
            }
        }
        steps.incrementAndGet();
        return true;
    }

    public void check(CuratorFramework client) throws Exception {
        client.sync().forPath(path);
        int version = client.checkExists().forPath(path).getVersion();
        Program.require(version == steps.get(), steps + " steps were acknowledged and " + version + " are there");
    }
}
