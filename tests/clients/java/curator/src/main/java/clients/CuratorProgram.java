package clients;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.framework.state.ConnectionStateListener;
import org.apache.curator.retry.RetryForever;
import org.apache.curator.utils.ZookeeperFactory;
import org.apache.zookeeper.ZooKeeper;

/** A program whose clients are Curator's: how they connect, and that none of them loses its session. */
public final class CuratorProgram extends Program {
    private static final int CONNECTION_TIMEOUT_MS = 15_000;
    private static final int RETRY_MS = 50;

    private final AtomicLong suspensions = new AtomicLong();
    private final List<CuratorFramework> clients = new CopyOnWriteArrayList<>();

    public CuratorProgram(String[] arguments) {
        super(arguments);
    }

    @Override
    public void verdict(Map<String, ?> counted) {
        Map<String, Object> fields = new TreeMap<>(counted);
        fields.put("suspensions", suspensions.get());
        super.verdict(fields);
    }

    @Override
    protected void close() {
        clients.forEach(CuratorFramework::close);
    }

    /** A client whose first choice is the given member; clients spread in this way. */
    public CuratorFramework client(int member, boolean mayExpire) {
        List<String> order = new ArrayList<>(hosts);
        Collections.rotate(order, -(member % hosts.size()));
        ZookeeperFactory factory = (connectString, timeoutMs, watcher, canBeReadOnly) -> new ZooKeeper(
                connectString, timeoutMs, watcher, canBeReadOnly, new InOrder(order));
        return start(settings(String.join(",", order)).zookeeperFactory(factory), mayExpire);
    }

    public CuratorFramework client(int member) {
        return client(member, false);
    }

    /** A client that was told of one member only. */
    CuratorFramework clientOf(String host) {
        return start(settings(host), false);
    }

    /** A client that is content to read, and what it is told of its connection. */
    CuratorFramework clientToRead(Set<ConnectionState> seen) {
        CuratorFrameworkFactory.Builder settings = settings(String.join(",", hosts)).canBeReadOnly(true);
        return start(settings, true, (same, state) -> seen.add(state));
    }

    private static CuratorFrameworkFactory.Builder settings(String connectString) {
        return CuratorFrameworkFactory.builder()
                .connectString(connectString)
                .sessionTimeoutMs(SESSION_TIMEOUT_MS)
                .connectionTimeoutMs(CONNECTION_TIMEOUT_MS)
                .retryPolicy(new RetryForever(RETRY_MS));
    }

    private CuratorFramework start(CuratorFrameworkFactory.Builder settings, boolean mayExpire,
            ConnectionStateListener... listeners) {
        CuratorFramework client = settings.build();
        for (ConnectionStateListener listener : listeners) {
            client.getConnectionStateListenable().addListener(listener);
        }
        client.getConnectionStateListenable().addListener((same, state) -> {
            if (state == ConnectionState.SUSPENDED) {
                suspensions.incrementAndGet();
            }
            if (state == ConnectionState.LOST && !mayExpire) {
                violation("a session was lost that was in touch with the ensemble");
            }
        });
        client.start();
        clients.add(client);
        return client;
    }
}
